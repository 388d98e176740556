/** The command around the measures: sets, seeds, truth records, events that are gone on with. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { openConfig } from "../../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { RunError } from "../../../io/system/errors.ts";
import { run } from "../../../io/commands/eval.ts";
import { evaluate } from "../../../io/eval/evaluate.ts";
import { conditions, generate, keptRecording, parseSeeds } from "../../../io/eval/generate.ts";
import { seedRange } from "../../../io/eval/figures/output.ts";
import { chooseJobs, parseNoiseSeeds } from "../../../io/eval/jobs.ts";
import { parseTruth, readTruth } from "../../../io/eval/measures/truth.ts";
import { assertSchema } from "../schemas.ts";
import { ffmpegTest, finder, folderTest, names } from "../media.ts";
import {
  evalOracle,
  oraclePart,
  perfectCodec,
  player,
  shorten,
  smallSet as set,
  sources,
} from "./players.ts";

const root = new URL("../../../", import.meta.url).pathname;
const nothing = {
  folder: set,
  world: sources.world,
  seeds: undefined,
  seconds: 24,
  swaps: undefined,
  limit: undefined,
  keep: undefined,
};

Deno.test("parseSeeds takes one seed or a range of the world's", () => {
  assertEquals(parseSeeds("7"), [7]);
  assertEquals(parseSeeds("100000..100002"), [100000, 100001, 100002]);
  for (const text of ["", "a", "3..1", "1..2..3", "200000", "-1", "1.5"]) {
    assertThrows(() => parseSeeds(text), InputError, "FIRST..LAST");
  }
});

Deno.test("parseNoiseSeeds takes one seed or a range", () => {
  assertEquals(parseNoiseSeeds("7"), [7]);
  assertEquals(parseNoiseSeeds("0..2"), [0, 1, 2]);
  for (const text of ["", "-1", "1.5", "3..1", "0..200", "99999999999999999"]) {
    assertThrows(() => parseNoiseSeeds(text), InputError, "FIRST..LAST");
  }
});

Deno.test("seedRange says when seeds are no evaluation", () => {
  assertEquals(seedRange([null]), null);
  assertEquals(seedRange([100003, null]), "evaluation seed 100003");
  assertEquals(
    seedRange([99999, 100000]),
    "training range: seeds 99999 to 100000: no evaluation",
  );
});

Deno.test("chooseJobs runs a third of the made conversations swapped as well", async () => {
  const named = async (changes: object) =>
    (await chooseJobs({ ...nothing, ...changes }, 160)).map(({ name }) => name);
  assertEquals(await named({ seeds: "5..7" }), ["5", "5-card", "5-question", "6", "7"]);
  assertEquals(await named({ seeds: "5..7", swaps: 0, limit: 2 }), ["5", "6"]);
  assertEquals(await named({ limit: 1 }), ["100000", "100000-card", "100000-question"]);
  assertEquals((await named({})).length, 12);
  const condition = "noisy";
  assertEquals(await named({ seeds: "5", condition }), [
    "5-noisy",
    "5-noisy-card",
    "5-noisy-question",
  ]);
  // What made a conversation is its generator with the length and the condition that were asked for.
  const made = async (changes: object) =>
    (await chooseJobs({ ...nothing, seeds: "5", ...changes }, 160))[0]?.generator;
  assertEquals(await made({}), await made({ keep: "elsewhere", condition: "quiet" }));
  assertEquals(
    new Set([await made({}), await made({ seconds: 60 }), await made({ condition })]).size,
    3,
  );
  assertEquals((await chooseJobs({ ...nothing }, 160))[0]?.generator, null);
  await assertRejects(() => named({ folder: `${root}docs` }), InputError, "holds no recording");
  await assertRejects(() => named({ folder: `${root}none` }), InputError, "no such folder");
});

Deno.test("parseTruth names what is wrong in a record", async () => {
  const good = await Deno.readTextFile(`${set}/100000/truth.json`);
  assertEquals(parseTruth(good, "truth.json"), await readTruth(`${set}/100000/truth.json`));
  const wrong = (change: (record: Record<string, unknown>) => void): string => {
    const record: Record<string, unknown> = JSON.parse(good);
    change(record);
    return assertThrows(() => parseTruth(JSON.stringify(record), "truth.json"), InputError).message;
  };
  assertStringIncludes(wrong((record) => delete record["units"]), "units is missing");
  assertStringIncludes(wrong((record) => record["units"] = 3), "timeline has 125 entries");
  assertStringIncludes(wrong((record) => record["timeline"] = {}), "timeline is {}");
  assertStringIncludes(
    wrong((record) => record["events"] = [{ type: "story", start: -1, end: 2 }]),
    "events[0].start is -1",
  );
  assertStringIncludes(
    wrong((record) => record["swap"] = { kind: "face", of: "1" }),
    `swap.kind is "face"; it may be "card" or "question"`,
  );
  assertThrows(() => parseTruth("{", "truth.json"), InputError, "not JSON");
  // Types that nothing is measured of are passed over and told, misspelt ones are errors.
  const events = [{ type: "sneeze" }];
  const { events: kept, otherTypes } = parseTruth(
    JSON.stringify({ ...JSON.parse(good), events }),
    "t",
  );
  assertEquals([kept, otherTypes], [[], ["sneeze"]]);
  for (const [type, near] of [["qestion", "question"], ["Naming", "naming"]]) {
    assertStringIncludes(
      wrong((record) => record["events"] = [{ type }]),
      `events[0].type is "${type}"; it may be "${near}": did you mean that?`,
    );
  }
  const question = { type: "question", kind: "c", text: "t", typed: false, interrupts: false };
  const asked = { ...question, start: 2, end: 4, pauses: [], words: ["It's", "RED."], answer: 5 };
  const silent = { user: false, agent: false };
  const timeline = new Array(125).fill(silent);
  // Words are read as the agent's are, and what can't be is refused.
  const read = parseTruth(
    JSON.stringify({
      units: 125,
      timeline: [{ ...silent, word: "Red!" }, ...timeline.slice(1)],
      events: [asked],
    }),
    "t",
  );
  assertEquals([read.timeline[0]?.word, read.events], ["red", [{
    ...asked,
    words: ["it's", "red"],
    endSample: null,
    card: null,
  }]]);
  const cases: [changes: Record<string, unknown>, message: string][] = [
    [
      { events: [{ type: "story", start: 8, end: 2 }] },
      "events[0].end is 2; it may be a whole number from 8",
    ],
    [{ events: [{ ...asked, pauses: [[5, 1]] }] }, "with from below to"],
    [
      { timeline: timeline.with(3, { ...silent, wrod: "red" }) },
      "timeline[3].wrod: did you mean word?",
    ],
    [{ timeline: timeline.with(3, { ...silent, word: "?" }) }, 'timeline[3].word is "?"'],
    [{ swap: undefined, Swaps: { kind: "card", of: "1" } }, "Swaps: did you mean swap?"],
  ];
  for (const [changes, message] of cases) {
    assertStringIncludes(wrong((record) => Object.assign(record, changes)), message);
  }
});

Deno.test("eval refuses options that don't go together", async () => {
  const refused = (args: string[], message: string) =>
    assertRejects(() => run(args, sources), InputError, message);
  await refused(["a", "b"], "'b' is one too many");
  await refused(["a", "--seeds", "1"], "not both");
  await refused(["--seconds", "30"], "give --seeds");
  await refused(["--keep", "x"], "give --seeds");
  await refused(["--world", "1"], "give --seeds");
  await refused(["--world", "3", "--seeds", "1"], "world");
  await refused(["--resume"], "give --events");
  await refused(["--check", "--seeds", "1"], "runs nothing");
});

ffmpegTest("evaluate ends at a signal and keeps what was whole before it", async () => {
  const config = await openConfig(`${root}engine/models/nano-1`);
  const jobs = (await chooseJobs({ ...nothing, limit: 1 }, 160)).slice(1);
  const parts = await Promise.all(jobs.map(({ name }) => oraclePart(`${set}/${name}`, config)));
  const agent = player(parts);
  const stop = new AbortController();
  const disposed: string[] = [];
  const results = await evaluate({
    jobs: jobs.map((job) => ({
      ...job,
      open: async () => ({
        ...await job.open(),
        dispose: () => Promise.resolve(void disposed.push(job.name)),
      }),
    })),
    noiseSeeds: [0],
    basis: { checkpoint: "c", settings: "s", program: "p" },
    earlier: [],
    config,
    open: () => {
      if (agent.opened === 1) stop.abort();
      return agent.open();
    },
    openCodec: () => Promise.resolve(perfectCodec),
    ffmpeg: finder,
    events: null,
    quiet: true,
    signal: stop.signal,
  });
  assertEquals(results.map(({ name }) => name), ["100000-card"]);
  assertEquals(disposed, ["100000-card", "100000-question"]);
});

ffmpegTest(
  "eval --check says what will be measured, and why something won't be",
  async (folder) => {
    for (const name of ["100000", "100001"]) await shorten(name, folder, 60);
    const path = `${folder}/100001/truth.json`;
    const record = JSON.parse(await Deno.readTextFile(path));
    const question = record.events.find(({ type }: { type: string }) => type === "question");
    assert(question);
    question.words = ["something", "else"];
    record.events.push({ type: "sneeze" }, { type: "greeting", start: 50, words: ["hello"] });
    await Deno.writeTextFile(path, JSON.stringify(record));
    await Deno.remove(`${folder}/100001/agent.mp4`);
    await Deno.mkdir(`${folder}/empty`);
    const swap = { ...record, swap: { kind: "card", of: "100009" } };
    await Deno.mkdir(`${folder}/swapped`);
    await Deno.copyFile(`${folder}/100000/user.mp4`, `${folder}/swapped/user.mp4`);
    await Deno.writeTextFile(`${folder}/swapped/truth.json`, JSON.stringify(swap));

    const good = await evalOracle(["--check", folder, "--json"], []);
    assertEquals([good.code, good.opened], [0, 0]);
    const checked = JSON.parse(good.text);
    assertSchema(checked);
    const { schema, recordings, leftOut } = checked;
    assertEquals(schema, "wanstream/eval-check/1");
    const [first, second] = recordings;
    assertEquals([first.name, first.compared, first.problem], ["100000", true, null]);
    assertEquals([first.judged.right, first.judged.greeting], [1, 1]);
    assertEquals([second.compared, second.judged.right], [false, 0]);
    const notes = second.notes.join("\n");
    assertStringIncludes(notes, "isn't judged for its answer: its words aren't in the timeline");
    assertStringIncludes(notes, "the greeting in unit 50 isn't judged");
    assertStringIncludes(notes, "it has no agent.*");
    assertStringIncludes(leftOut.join("\n"), "empty: is left out: it has no truth.json");
    assertStringIncludes(leftOut.join("\n"), "100009, isn't there");
    assertStringIncludes(leftOut.join("\n"), "events of type sneeze");
    // What the run then says and gives: no lips without an oracle's recording.
    const run = await evalOracle([`${folder}/100001`, "--json", "--draws", "0"], [
      `${folder}/100001`,
    ]);
    assertStringIncludes(run.said, "events of type sneeze");
    const figures = new Map(
      JSON.parse(run.text).figures.map((row: { key: string }) => [row.key, row]),
    );
    for (const key of ["lips", "lipsLag", "lipsOverTruth", "logMelDistance", "pictureFrechet"]) {
      assertEquals(
        figures.get(key),
        { ...figures.get(key) as object, value: null, events: 0 },
        key,
      );
    }

    await Deno.writeTextFile(path, JSON.stringify({ ...record, units: 61 }));
    const bad = await evalOracle(["--check", folder], []);
    assertEquals(bad.code, 2);
    assertStringIncludes(bad.text, "timeline has 60 entries, but units is 61");
    assert(/^100001 .*FAILS$/m.test(bad.text), bad.text);
    const csv = await evalOracle(["--check", folder, "--csv"], []);
    assert(/^100001,.*but units is 61/m.test(csv.text), csv.text);
    const markdown = await evalOracle(["--check", folder, "--markdown"], []);
    assert(/^\| 100001 \|.*\| FAILS \|$/m.test(markdown.text), markdown.text);
  },
);

ffmpegTest("eval says when media and truth record don't fit together", async (folder) => {
  await Deno.mkdir(`${folder}/one`);
  for (const name of ["user.mp4", "agent.mp4"]) {
    await Deno.copyFile(`${set}/100000/${name}`, `${folder}/one/${name}`);
  }
  const record = JSON.parse(await Deno.readTextFile(`${set}/100001/truth.json`));
  await Deno.writeTextFile(`${folder}/one/truth.json`, JSON.stringify(record));
  await assertRejects(
    () => evalOracle([folder, "--quiet"], [`${set}/100001`]),
    InputError,
    "has 125 whole units",
  );
  await Deno.remove(`${folder}/one/user.mp4`);
  await assertRejects(() => evalOracle([folder], []), InputError, "has no user.mkv");
});

folderTest("generate makes a conversation and finds it again", async (folder) => {
  const wanted = { seed: 90000, seconds: 10, condition: "pauses", swap: null } as const;
  let made;
  try {
    made = await generate(sources.world, wanted, folder, "g");
  } catch (error) {
    // Without Python, numpy or espeak-ng it says what to install.
    assert(error instanceof InputError, `${error}`);
    assertStringIncludes(error.message, "apt-get install python3-numpy espeak-ng ffmpeg");
    return;
  }
  assertEquals([made.name, made.truth.seed, made.truth.seconds], ["90000-pauses", 90000, 10]);
  const truth = `${folder}/90000-pauses/truth.json`;
  const { mtime } = await Deno.stat(truth);
  await generate(sources.world, wanted, folder, "g");
  assertEquals((await Deno.stat(truth)).mtime, mtime);
  assertEquals(names(`${folder}/90000-pauses`), [
    "agent.mkv",
    "generator.txt",
    "truth.json",
    "user.mkv",
  ]);
  assertEquals(await keptRecording(wanted, folder, "another generator or length"), null);
  // Two processes may make the same, where another generator's stands: each reads whole files.
  const both = await Promise.all([1, 2].map(() => generate(sources.world, wanted, folder, "h")));
  assertEquals(both.map(({ truth }) => truth), [made.truth, made.truth]);
  assertEquals(names(folder), ["90000-pauses"]);
  const swapped = await generate(sources.world, { ...wanted, swap: "card" }, null, "g");
  assertEquals(swapped.truth.swap, { kind: "card", of: "90000-pauses" });
  assertEquals(swapped.agent, null);
  await swapped.dispose();
  await assertRejects(() => Deno.stat(swapped.user), Deno.errors.NotFound);
  // Every condition that is offered is the generator's, and the other way round.
  const unknown = { ...wanted, condition: "none such" as "quiet" };
  const refused = await assertRejects(() => generate(sources.world, unknown, null, "g"), RunError);
  const named = /choose from (.*)\)/.exec(refused.message)?.[1]?.replaceAll("'", "").split(", ");
  assertEquals(named, [...conditions]);
});
