/** `compare` with agents that play parts: figures, resumption, what is refused. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { folderTest } from "../media.ts";
import { assertSchema } from "../schemas.ts";
import { heardTurns, waits } from "../../../io/compare/latency.ts";
import type { Answered } from "../../../io/compare/result.ts";
import { fileName, resultsPath } from "../../../io/compare/run.ts";
import { rightRow } from "../../../io/compare/sides.ts";
import { Lock } from "../../../io/system/lock.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { captured, play, shortenSilent, silence } from "../eval/players.ts";
import {
  compared,
  config,
  names,
  type Opened,
  openers,
  recordings,
  type Role,
  roles,
  runFakes,
  units,
} from "./fakes.ts";

interface Figure {
  key: string;
  of: string | null;
  a: { value: number | null; events: number };
  b: { value: number | null; events: number };
  difference: { value: number | null };
}

const find = (figures: Figure[], key: string) => figures.find((one) => one.key === key);

folderTest(
  "two agents stand side by side, and a later answer is heard so much later",
  async (folder) => {
    const set = await recordings(folder);
    const args = ["quick", "slow", set, "-o", `${folder}/out`, "--quiet", "--draws", "20"];
    const { code, text } = await compared([...args, "--json"], openers(set, roles, new Map()));
    assertEquals(code, 0);
    const result = JSON.parse(text);
    assertSchema(result);
    const [{ figures, recordings: count, leftOut }] = result.conditions;
    assertEquals([count, leftOut], [2, []]);
    const f1 = find(figures, "activityF1");
    assertEquals(f1?.a.value, 1);
    assert((f1?.b.value ?? 1) < 1);
    assertEquals(find(figures, "turns")?.a.value, find(figures, "turns")?.b.value);
    const late = find(figures, "latencyMean");
    assert((late?.a.events ?? 0) > 0);
    // Too few turns for a figure, but the table tells how many.
    const table = await compared(args, openers(set, roles, new Map()));
    assertStringIncludes(table.text, `too few (${late?.a.events})`);
    const csv = await compared([...args, "--csv"], openers(set, roles, new Map()));
    assertStringIncludes(csv.text, "condition,group,key,of,label,a,aLow,aHigh");
  },
);

folderTest(
  "a comparison that was killed goes on behind its last result, with the same figures",
  async (folder) => {
    const set = await recordings(folder);
    const args = (
      out: string,
    ) => ["quick", "slow", set, "-o", `${folder}/${out}`, "--json", "--quiet", "--draws", "0"];
    const whole = await compared(args("whole"), openers(set, roles, new Map()));
    const figures = (text: string) =>
      JSON.parse(text).conditions[0].figures.filter(({ group }: { group: string }) =>
        group !== "work"
      );
    for (let failsAt = 0; failsAt < names.length; failsAt++) {
      const out = `cut${failsAt}`;
      const cut = { ...roles, slow: { late: 2, failsAt } };
      await assertRejects(() => compared(args(out), openers(set, cut, new Map())), Error, "killed");
      // Killed while it wrote a line.
      const file = `${folder}/${out}/slow.quiet.jsonl`;
      const text = await Deno.readTextFile(file);
      await Deno.writeTextFile(file, `${text}{"type":"recording","na`);
      const opened: Opened = new Map();
      const again = await compared(args(out), openers(set, roles, opened));
      assertEquals(opened.get("quick"), []);
      assertEquals(opened.get("slow"), names.slice(failsAt));
      assertEquals(figures(again.text).map(withoutWaits), figures(whole.text).map(withoutWaits));
    }
    // Another agent under the same name isn't the same agent.
    const other = { ...roles, slow: { late: 3 } };
    await assertRejects(
      () => compared(args("whole"), openers(set, other, new Map())),
      InputError,
      "rests on other settings",
    );
    // Each agent in a process of its own.
    for (const only of ["A", "B"]) {
      const one = args("parts").filter((arg) => arg !== "--json");
      const opened: Opened = new Map();
      const { text } = await compared([...one, "--only", only], openers(set, roles, opened));
      assertEquals([text, [...opened.keys()]], ["", [only === "A" ? "quick" : "slow"]]);
    }
    const opened: Opened = new Map();
    const both = await compared(args("parts"), openers(set, roles, opened));
    assertEquals([...opened.values()].flat(), []);
    assertEquals(figures(both.text).map(withoutWaits), figures(whole.text).map(withoutWaits));
  },
);

folderTest("what can't be known of recorded answers is no figure of theirs", async (folder) => {
  const set = await recordings(folder);
  const theirs = { theirs: { late: 1, lacks: { words: true, picture: true } }, ...roles };
  const args = ["quick", "theirs", set, "-o", `${folder}/out`, "--quiet", "--draws", "0", "--json"];
  const { text } = await compared(args, openers(set, theirs, new Map()));
  const [{ figures }] = JSON.parse(text).conditions;
  const events = (key: string, side: "a" | "b") => find(figures, key)?.[side];
  for (const key of ["computeP50", "peakMegabytes"]) {
    assert((events(key, "a")?.events ?? 0) > 0, `${key} of an agent that ran`);
    assertEquals(events(key, "b")?.value ?? null, null, key);
    assertEquals(events(key, "b")?.events ?? 0, 0, key);
  }
  // No answer is right or wrong; when they speak is known.
  const judged = async (agent: string) =>
    (await Deno.readTextFile(`${folder}/out/${agent}.quiet.jsonl`)).includes('"measure":"right"');
  assertEquals([await judged("quick"), await judged("theirs")], [true, false]);
  assertEquals(events("turns", "a"), events("turns", "b"));
  assert((events("activityF1", "b")?.value ?? 0) > 0.5);
});

folderTest(
  "answers that were put in or changed are played again; none leave nothing",
  async (folder) => {
    const set = await recordings(folder);
    const args = [
      "quick",
      "theirs",
      set,
      "-o",
      `${folder}/out`,
      "--quiet",
      "--draws",
      "0",
      "--json",
    ];
    const lacks = { words: true, picture: true };
    const played = async (answers: string) => {
      const opened: Opened = new Map();
      await compared(args, openers(set, { ...roles, theirs: { late: 1, lacks, answers } }, opened));
      return ["quick", "theirs"].map((name) => opened.get(name)?.length ?? 0);
    };
    assertEquals(await played("some"), [2, 2]);
    assertEquals(await played("others"), [0, 2]);
    assertEquals(await played("others"), [0, 0]);
    const none = { ...roles, none: { late: 0, isEmpty: true } };
    await assertRejects(
      () =>
        compared(
          ["none", "quick", set, "-o", `${folder}/other`, "--json"],
          openers(set, none, new Map()),
        ),
      InputError,
      "holds no answer",
    );
    assertEquals(Array.from(Deno.readDirSync(`${folder}/other`), ({ name }) => name), []);
  },
);

Deno.test("an answer that is cut off is right as far as it was said", () => {
  const said = ["it is red", "it is", "it", "", "it is blue", "it i"];
  const answered = (words: string[]) =>
    words.map((said, i) => ({
      ...{ name: `${i}`, seed: i, swap: null, units: 10, active: "0000000000", rms: [] },
      live: { turns: [{ turn: 1 }] },
      // The question of unit 5 leaves a late answer no room.
      outcomes: [1, 1, 5].map((unit) => ({
        ...{ measure: "right", unit, kind: "colour", said, wanted: "it is red" },
        value: said === "it is red" ? 1 : 0,
      })),
    })) as unknown as Answered[];
  const both = [answered(said), answered(said.map(() => "it is red"))] as [Answered[], Answered[]];
  const values = (isWhole: boolean) => {
    const { a, b } = rightRow(both, 0, isWhole);
    return [a.value, a.events, b.value];
  };
  assertEquals(values(false), [0.5, 12, 1]);
  assertEquals(values(true), [1 / 6, 12, 1]);
});

Deno.test("different agents have different files, none of which is the user's or leads elsewhere", () => {
  const long = "x".repeat(200);
  const names = [
    "a",
    "user",
    ".",
    "..",
    "/",
    "агент",
    "модель",
    `${long}1`,
    `${long}2`,
    `1${long}`,
  ];
  assertEquals(new Set(names.map(fileName)).size, names.length);
  for (const name of names) {
    assert(fileName(name).length < 200);
    assert(!["user", ".", ".."].includes(fileName(name)), name);
  }
  assertEquals(fileName("cascade:a/b,end=silence:0.5"), "cascade_a_b_end=silence_0.5");
});

folderTest(
  "results that were changed are made anew, and what others left doesn't end a comparison",
  async (folder) => {
    const set = await recordings(folder);
    const out = `${folder}/out`;
    const both: Record<string, Role> = { user: { late: 0 }, "cascade:x": { late: 2 } };
    const args = ["user", "cascade:x", set, "-o", out, "--json", "--quiet", "--draws", "0"];
    const first = await compared(args, openers(set, both, new Map()));
    // Another agent that answered all, one that answered some, and no events file at all.
    const all = await Deno.readTextFile(resultsPath(out, "user", "quiet"));
    const [head = "", one = ""] = all.split("\n");
    const { basis: { program } } = JSON.parse(one);
    const other = all.replace('"path":"user"', '"path":"third"').replaceAll(program, "another");
    await Deno.writeTextFile(`${out}/third.quiet.jsonl`, other);
    await Deno.writeTextFile(
      `${out}/some.quiet.jsonl`,
      `${head.replace(':"user"', ':"some"')}\n${one}\n`,
    );
    await Deno.writeTextFile(`${out}/none.quiet.jsonl`, "?\n");
    const whole = JSON.parse(one);
    for (const live of [null, {}, { ...whole.live, computeMs: [1] }]) {
      const changed = all.replace(one, JSON.stringify({ ...whole, live }));
      await Deno.writeTextFile(resultsPath(out, "user", "quiet"), changed);
      const opened: Opened = new Map();
      const { text, said } = await compared(args, openers(set, both, opened));
      assertEquals([opened.get("user"), opened.get("cascade:x")], [[names[0]], []], said);
      const { points, notes } = JSON.parse(text).sweep;
      const full = points.filter(({ kind }: { kind: string }) => kind === "full");
      assertEquals(full.map(({ name }: { name: string }) => name), ["user", "cascade:x", "third"]);
      assertEquals(full[2].delay, full[0].delay);
      assertStringIncludes(notes.join("\n"), "some isn't here: it answered 1 of 2 recordings");
      assertStringIncludes(notes.join("\n"), "none.quiet.jsonl isn't here");
      assertStringIncludes(notes.join("\n"), "third was answered by another version");
      assertEquals(full[0], JSON.parse(first.text).sweep.points.at(-2));
    }
    // Another process has the file.
    const lock = await Lock.take(resultsPath(out, "user", "quiet"));
    await assertRejects(
      () => compared(args, openers(set, both, new Map())),
      InputError,
      "another run is writing it",
    );
    await lock?.release();
  },
);

folderTest(
  "a comparison says what it reads, does and writes, and --quiet says nothing",
  async (folder) => {
    const set = await recordings(folder);
    const both: Record<string, Role> = { quick: { late: 0 }, "cascade:x": { late: 2 } };
    const args = (...more: string[]) => ["quick", "cascade:x", set, "-o", `${folder}/o`, ...more];
    const run = (...more: string[]) =>
      compared(args("--draws", "0", ...more), openers(set, both, new Map()));
    const first = await run();
    const lines = (text: string) => text.split("\n").filter((line) => line);
    const end = `results  ${folder}/o`;
    assertEquals(lines(first.said).at(-1), end);
    assert(!first.said.includes("reading"));
    const again = await run();
    assertEquals(lines(again.said), [
      `reading ${folder}/o/quick.quiet.jsonl`,
      `reading ${folder}/o/cascade_x.quiet.jsonl`,
      "figures of 4 results, with 0 draws for intervals",
      "sweeping settings of turn-taking over 2 recordings",
      end,
    ]);
    assertEquals((await run("--quiet")).said, "");
    assertStringIncludes((await run("--limit", "1")).said, "over 1 recording\n");
    const only = await run("--only", "A");
    assertEquals(lines(only.said).at(-1), end);
  },
);

folderTest(
  "swapped recordings of a folder are left out, and count for no --limit",
  async (folder) => {
    const set = await recordings(folder);
    for (const swap of ["card", "question"]) await shortenSilent(`${names[0]}-${swap}`, set, units);
    for (const more of [[], ["--limit", "1"]]) {
      const opened: Opened = new Map();
      const args = ["quick", "slow", set, "-o", `${folder}/out${more.length}`, "--quiet", ...more];
      await compared([...args, "--draws", "0"], openers(set, roles, opened));
      const wanted = names.slice(0, more.length > 0 ? 1 : 2);
      assertEquals(opened, new Map([["quick", wanted], ["slow", wanted]]));
    }
  },
);

/** What depends on the machine's speed is left out. */
function withoutWaits(figure: Figure): Figure | null {
  return /WithCompute|solverMs/.test(figure.key) ? null : figure;
}

folderTest("of a benchmark's folders turns are told by what is heard", async (folder) => {
  // The user speaks up to the end of a window of 32 ms, the agent from 2.4 s of its stream on, which is
  // heard a unit later.
  await Deno.mkdir(`${folder}/set/1`, { recursive: true });
  await Deno.writeTextFile(`${folder}/set/1/turn_taking.json`, "[]");
  const wav = await WavWriter.create(`${folder}/set/1/input.wav`, 16000);
  await wav.write(new Float32Array(64000).map((_, i) => i >= 16000 && i < 31744 ? 0.1 : 0));
  await wav.close();
  const tone = new Float32Array(2560).fill(0.1);
  const part = (from: number) => ({
    texts: new Array(25).fill(""),
    media: Array.from(
      { length: 25 },
      (_, unit) =>
        unit >= from && unit < from + 6 ? { ...silence(config), audio: tone } : silence(config),
    ),
  });
  const fakes = openers(folder, { 15: { late: 0 }, 17: { late: 0 } }, new Map());
  const open: typeof fakes = {
    ...fakes,
    agent: async (spec, options) => ({
      ...await fakes.agent(spec, options),
      open: () => Promise.resolve(play(part(Number(spec.text)))),
    }),
  };
  const args = ["15", "17", `${folder}/set`, "--layout", "full-duplex-bench", "--quiet"];
  const { text } = await compared([...args, "-o", `${folder}/out`, "--json"], open);
  const [{ figures }] = JSON.parse(text).conditions;
  assertEquals(figures.some(({ group }: { group: string }) => group === "eval"), false);
  const results = await Promise.all(["15", "17"].map(async (name) => {
    const lines = (await Deno.readTextFile(`${folder}/out/${name}.quiet.jsonl`)).split("\n");
    return JSON.parse(lines[1] ?? "");
  }));
  const waited = results.map(({ live, active }) => {
    const turns = heardTurns(live.score.voice.exchange, active, 160);
    return waits({ active, live: { ...live, turns } }, 160, null, false).map(({ ms }) => ms);
  });
  assertEquals(waited, [[16 * 160 - 1984], [18 * 160 - 1984]]);
});

folderTest("compare refuses what doesn't go together", async (folder) => {
  const open = openers(folder, roles, new Map());
  const refused = (args: string[], message: string) =>
    assertRejects(() => compared(args, open), InputError, message);
  await refused(["quick"], "needs two agents");
  await refused(["quick", "quick"], "given twice");
  await refused(["quick", "slow", "a", "b"], "'b' is one too many");
  await refused(["quick", "slow", "a", "--seeds", "1"], "not both");
  await refused(["quick", "slow", "--conditions", "all"], "give --seeds");
  await refused(["quick", "slow", "--seeds", "1", "--conditions", "loud"], "it may be");
  await refused(["quick", "slow", "--seeds", "1", "--world", "2"], "'2' is none of 1");
  await refused(["quick", "slow", "--network", "none;none"], "given twice");
  await refused(["quick", "slow", "--network", "fast"], "is no time");
  await refused(["quick", "slow", "--layout", "full-duplex-bench"], "needs its folder");
  await refused(["quick", "slow", "--only", "A", "--json"], "--only prints nothing");
  await refused(["quick", "slow", "--report", "x.pdf"], "should end in .html");
  await refused(["quick", "slow", "--picture", "x.png"], "should end in .svg");
  await refused(["quick", "slow", "--picture", "x.svg", "--no-sweep"], "draws the sweep");
  await refused(["quick", "slow", "--each", "3"], "give --conditions");
  await refused(["a/b", "a_b"], "would write the same file");
  const set = await recordings(folder);
  await Deno.writeTextFile(`${folder}/file`, "");
  await refused(["quick", "slow", set, "-o", `${folder}/file`], "file: is a file");
  await refused(["quick", "slow", set, "-o", "/proc/x"], "Deno keeps programs from");
  await refused(["quick", "slow", set, "--report", "/proc/x.html"], "Deno keeps programs from");
  const training = ["quick", "slwo", "--seeds", "7..8", "-o", `${folder}/o`];
  for (const more of [[], ["--quiet"]]) {
    const refusal = () =>
      assertRejects(() => runFakes([...training, ...more], open), InputError, "slwo");
    const { err } = await captured(refusal);
    assertEquals(err, more.length > 0 ? "" : "training range: seeds 7 to 8: no evaluation\n");
  }
  await refused(["quick", "slow", set, "-o", `${folder}/o`, "--show", "10000"], "may be 100000");
  // Nothing is answered by the first where the second isn't there.
  const opened: Opened = new Map();
  const late = openers(set, roles, opened);
  await assertRejects(
    () => compared(["quick", "slwo", set, "-o", `${folder}/o`], late),
    InputError,
    "slwo",
  );
  assertEquals([...opened.values()].flat(), []);
});
