/** What a comparison says: the answer in sentences, figures of too few events, a busy machine. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Condition } from "../../../io/compare/conditions.ts";
import { type Compared, comparedTables, verdictOf } from "../../../io/compare/output.ts";
import { sweepTables } from "../../../io/compare/page.ts";
import { inspectLines } from "../../../io/compare/protocol.ts";
import type { SideBySide } from "../../../io/compare/sides.ts";
import { tableMarkdown, tableText } from "../../../io/reports/table.ts";

type Ends = [number, number] | null;

function figure(
  group: SideBySide["group"],
  key: string,
  [a, b]: [number | null, number | null],
  more: { interval?: Ends; differs?: boolean | null; events?: number } = {},
): SideBySide {
  const { interval = null, differs = null, events = 20 } = more;
  const value = a === null || b === null ? null : a - b;
  return {
    ...{ group, key, of: null, label: key, difference: { value, interval }, differs },
    ...{ a: { value: a, interval: null, events }, b: { value: b, interval: null, events } },
  };
}

const compared = (figures: SideBySide[], recordings = 20): Compared => ({
  ...{
    name: "quiet",
    networks: [{ text: "none", network: null }],
    recordings,
    leftOut: [],
    figures,
  },
});

Deno.test("the answer follows from the figures", () => {
  const rows: [SideBySide, number, RegExp][] = [
    [
      figure("latency", "latencyP50", [290, 745], { interval: [-486, -439], differs: true }),
      0,
      /^A answers sooner: A 290 ms, B 745 ms at the median; A less B is -455 ms \(-486 to -439\)\.$/,
    ],
    [
      figure("latency", "latencyP50", [745, 290], { interval: [439, 486], differs: true }),
      0,
      /^B answers sooner/,
    ],
    [
      figure("latency", "latencyP50", [290, 300], { interval: [-30, 10], differs: false }),
      0,
      /^In how soon they answer, no difference shown: A 290 ms, B 300 ms .* -10 ms \(-30 to 10\)/,
    ],
    [
      figure("latency", "latencyP50", [290, 300], { interval: [-30, -1] }),
      0,
      /fewer than 10 conversations show no difference/,
    ],
    [figure("latency", "latencyP50", [290, 300]), 0, /without intervals no difference is shown/],
    [
      figure("latency", "latencyP50", [null, null], { events: 4 }),
      0,
      /^Too few events to tell how soon they answer: a figure needs 10, there are 4 \(A\) and 4 \(B\)/,
    ],
    [
      figure("eval", "falseStartsInPauses", [0.062, 0.01], {
        interval: [0.02, 0.09],
        differs: true,
      }),
      1,
      /^A breaks more pauses: A 6.2 %, B 1.0 %; A less B is 5.2 % \(2.0 to 9.0\)\.$/,
    ],
    [
      figure("eval", "rightAsFar", [0.9, 0.95], { interval: [-0.08, -0.02], differs: true }),
      2,
      /^B is right more often: A 90.0 %, B 95.0 % as far as they speak; A less B is -5.0 %/,
    ],
  ];
  for (const [row, at, wanted] of rows) {
    assertMatch(verdictOf(compared([row]))[row.group === "eval" ? at : 0] ?? "", wanted);
  }
  // Without truth records latency is all that there is.
  assertEquals(verdictOf(compared([figure("latency", "latencyP50", [1, 2])])).length, 2);
  assertEquals(
    verdictOf(compared([figure("eval", "missed", [0, 0])], 1)).at(-1),
    "Of 1 recording (quiet), network none, without compute time.",
  );
});

Deno.test("figures of too few events say so, counts stand as they are", () => {
  const differs = { interval: [1, 2] as Ends, differs: true };
  const [latency, score] = comparedTables(compared([
    figure("latency", "latencyP50", [null, null], { events: 0 }),
    figure("score", "overlap", [0.2, 0.1], { ...differs, events: 9 }),
    figure("score", "silence", [0.2, 0.1], { ...differs, events: 10 }),
    figure("score", "bargeIns", [3, 2], { ...differs, events: 3 }),
  ], 9)).map((table) => tableText(table));
  assertMatch(latency ?? "", /latencyP50 +too few \(0\)/);
  const lines = (score ?? "").split("\n");
  const line = (key: string) => lines.find((one) => one.startsWith(key)) ?? "";
  assertMatch(line("overlap"), /^overlap +too few \(9\) +too few \(9\) +9, 9$/);
  assertMatch(line("silence"), /0\.200 .* 0\.100 .*differs +10, 10$/);
  assertMatch(line("bargeIns"), /3 .* 2 .*differs +3, 3$/);
  assertStringIncludes(score ?? "", "a figure needs 10");
  assertStringIncludes(score ?? "", "9 recordings that both answered");

  const kinds = { ...figure("eval", "answersRightByKind", [1, 1]), label: " both", of: "both" };
  assertMatch(
    tableText(comparedTables(compared([kinds]))[0] ?? { title: "", columns: [], rows: [] }),
    /^ {2}both +1 /m,
  );

  const known = (value: number, events: number) => ({ value, interval: null, events });
  const [settings = "", agree = ""] = sweepTables({
    points: [{
      ...{ name: "oracle", kind: "decisions", silence: null, delay: known(80, 12) },
      ...{ delayP50: known(80, 12), brokenPauses: known(0, 2), missed: known(0.5, 14) },
    }],
    agreements: [{ agent: "a", decisions: "oracle", turns: 2, same: 1 }],
    notes: [],
  }).map(tableText);
  assertMatch(settings, /oracle +decisions +80 +80 +too few \(2\) +50\.0 % +12, 2\n/);
  assertStringIncludes(settings, "a figure needs 10");
  assertMatch(agree, /of the turns both answered\n.* 1 of 2\n/);
});

Deno.test("compute time of a busy machine is marked", () => {
  const work = (processor: number) =>
    comparedTables(compared([
      figure("latency", "latencyP50", [290, 745], { differs: true }),
      figure("latency", "latencyWithComputeP50", [290, 745], { differs: true }),
      figure("work", "computePerSecond", [2.4, 0.6], { differs: true }),
      figure("work", "processorPerSecond", [processor, 0.6], { differs: true }),
    ])).map((table) => tableText(table)).join("\n");
  const line = (text: string, key: string) =>
    text.split("\n").find((one) => one.startsWith(`${key} `)) ?? "";
  for (const [processor, isBusy] of [[0.4, true], [1.3, false]] as const) {
    const text = work(processor);
    for (const key of ["latencyWithComputeP50", "computePerSecond"]) {
      assertStringIncludes(line(text, key), isBusy ? "busy: see note" : "differs");
    }
    for (const key of ["latencyP50", "processorPerSecond"]) {
      assertStringIncludes(line(text, key), "differs");
    }
    const note = /busy while A answered.* 6\.0 times the processor time/;
    assertEquals(note.test(text), isBusy);
    assert(!text.includes("while B answered"));
  }
});

Deno.test("a table without columns is its notes", () => {
  const table = { title: "In short", columns: [], rows: [], notes: ["one", "two"] };
  assertEquals(tableText(table), "In short\none\ntwo\n");
  assertEquals(tableMarkdown(table), "\none\n\ntwo\n");
});

Deno.test("the lines that open a conversation name where it is, or make it again", () => {
  const agents = [{ name: "a" }, { name: "my answers" }];
  const quiet: Condition = { name: "quiet", recordings: "quiet", lossy: null, networks: [] };
  const given = { seeds: undefined, seconds: 10, keep: undefined, folder: "set", noiseSeed: 0 };
  const kept = { ...given, seeds: "1..9", keep: "kept" };
  const lossy = { text: "0ms,loss=5%", network: null };
  assertEquals(inspectLines(agents, quiet, "x1", given), [
    "wanstream inspect a 'my answers' --recording set/x1 -o x1.html",
  ]);
  assertEquals(inspectLines(agents, quiet, "x1", { ...given, folder: "all/x1", noiseSeed: 3 }), [
    "wanstream inspect a 'my answers' --recording all/x1 --seed 3 -o x1.html",
  ]);
  assertEquals(inspectLines(agents, { ...quiet, lossy }, "7", kept), [
    "wanstream inspect a 'my answers' --recording kept/7 --network 0ms,loss=5% -o 7.html",
  ]);
  const pauses: Condition = { ...quiet, recordings: "pauses" };
  assertEquals(inspectLines(agents, pauses, "7-pauses", { ...kept, keep: undefined }), [
    "wanstream compare a 'my answers' --seeds 7 --seconds 10 --conditions pauses --keep out/talks " +
    "--only A -o out/talks/results",
    "wanstream inspect a 'my answers' --recording out/talks/7-pauses -o 7-pauses.html",
  ]);
  assertStringIncludes(
    inspectLines(agents, quiet, "7-card", { ...kept, keep: undefined })[0] ?? "",
    "--seeds 7 --seconds 10 --swaps 1 --keep",
  );
});
