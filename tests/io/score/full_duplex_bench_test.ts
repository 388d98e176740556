/** Full-Duplex-Bench's figures: the rules case by case, and the committed set from answers to figures. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { run } from "../../../io/commands/score.ts";
import { readSound } from "../../../io/ends/observe.ts";
import { findSamples } from "../../../io/layouts/full_duplex_bench.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import {
  latencyFrom,
  listeningOf,
  takesTurn,
  timesDistance,
  timingOf,
} from "../../../io/score/full_duplex_bench/figures.ts";
import { benchTable, figuresOf } from "../../../io/score/full_duplex_bench/output.ts";
import { readWords, scoreSample } from "../../../io/score/full_duplex_bench/samples.ts";
import {
  inTenths,
  roundEven,
  type Stretch,
  stretchesOf,
} from "../../../io/score/full_duplex_bench/speech.ts";
import { Silero } from "../../../io/score/silero.ts";
import { user } from "../stream_process.ts";
import { levelScores } from "../../../io/score/activity.ts";
import { batch } from "../batch/support.ts";
import { captured } from "../eval/players.ts";
import { assertSchema } from "../schemas.ts";

const words = (...times: Stretch[]) => times.map(([from, to]) => ({ text: "w", from, to }));

Deno.test("a turn is taken by a second of words, or by more than three", () => {
  const short: Stretch[] = [[1, 1.2], [1.2, 1.4], [1.4, 1.9]];
  assertEquals(takesTurn([]), false);
  assertEquals(takesTurn(words(...short)), false);
  assertEquals(takesTurn(words(...short, [1.9, 1.95])), true);
  assertEquals(takesTurn(words([1, 2])), true);
  assertEquals(takesTurn(words([1, 1.1], [1.9, 2])), true);
});

Deno.test("latency is that of the first word, 0 where it came before, and none without a turn", () => {
  assertEquals(latencyFrom(1, words([1.5, 3])), 0.5);
  assertEquals(latencyFrom(2, words([1.5, 3])), 0);
  assertEquals(latencyFrom(1, words([1.5, 1.6])), null);
  assertEquals(latencyFrom(1, []), null);
});

Deno.test("timing: pauses are joined, overlaps are stops, ends lead to the next beginning", () => {
  // The user's pause of 0.59 s is none, the agent's of 0.51 s is one.
  const user: Stretch[] = [[0, 1], [1.59, 2], [4, 5]];
  const agent: Stretch[] = [[1.5, 2.5], [3.01, 4.25], [6.0004, 7]];
  assertEquals(timingOf(user, agent), {
    stop: [[1.5, 2], [4, 4.25]],
    response: [[2, 3.01], [5, 6]],
  });
  // A beginning at an end itself doesn't answer it. Two ends before the same one: the later counts.
  assertEquals(timingOf([[0, 1], [2, 3]], [[3, 4]]).response, [[1, 3]]);
  assertEquals(timingOf([[0, 1], [2, 3]], [[3.5, 4]]).response, [[3, 3.5]]);
  assertEquals(timingOf([], agent), { stop: [], response: [] });
});

Deno.test("a set in which the agent never speaks has no figures, and the table says so", () => {
  const none = { takesTurn: null, latency: null, frequency: null, timesDistance: null };
  const sample = { ...none, name: "1", task: "overlap" as const, response: [] };
  const samples = [
    { ...sample, set: "silent", stop: [] },
    { ...sample, set: "spoken", stop: [[1, 1.5]] as Stretch[] },
  ];
  const figures = figuresOf(samples, 0);
  const { rows, notes = [] } = benchTable({ name: "v1.5", figures, samples, leftOut: [] });
  assertEquals(rows.map(([set]) => set), ["spoken"]);
  assertEquals(notes.filter((note) => note.startsWith("silent: no figures")).length, 1);
  assertEquals(notes.filter((note) => note.startsWith("spoken")), []);
});

Deno.test("a listener takes the turn by any stretch that is no backchannel, not by the last alone", () => {
  const said = words([0.1, 0.4], [2, 2.2], [2.2, 2.4], [2.4, 2.6]);
  assertEquals(listeningOf([], said), { takesTurn: false, backchannels: [] });
  assertEquals(listeningOf([[0, 0.5]], said).takesTurn, false);
  assertEquals(listeningOf([[0, 1]], said).takesTurn, true);
  // Three words in less than a second, and a short one after that.
  const both: Stretch[] = [[1.9, 2.7], [4, 4.4]];
  assertEquals(listeningOf(both, said), { takesTurn: true, backchannels: both });
  // Longer than 3 s: what comes from there on is no backchannel.
  const long: Stretch[] = [[0, 0.5], [1, 4.1], [5, 5.5]];
  assertEquals(listeningOf(long, []), { takesTurn: true, backchannels: [[0, 0.5]] });
});

Deno.test("the distance of times is scipy's jensenshannon over windows of 0.2 s", () => {
  assertEquals(timesDistance([], 5, [1]), 1);
  // scipy 1.17.1: numpy histograms of 1.3 s against [0.1, 0.2, 0.7] interpolated to 7 windows.
  assertAlmostEquals(
    timesDistance([[0.3, 0.5], [1.1, 9]], 1.3, [0.1, 0.2, 0.7]),
    0.40331049073564845,
    1e-12,
  );
  // The same distribution lies nowhere.
  assertAlmostEquals(timesDistance([[0, 9]], 1.9, Array(10).fill(0.1)), 0, 1e-6);
  // The root of ln 2 is the farthest of those with a backchannel.
  const far = timesDistance([[0, 0.1]], 1.9, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  assertAlmostEquals(far, Math.sqrt(Math.LN2), 1e-4);
});

Deno.test("stretches of speech: thresholds, the shortest ones, padding, and the end", () => {
  const window = 512;
  const scores = (...runs: [count: number, score: number][]) =>
    runs.flatMap(([count, score]) => Array<number>(count).fill(score));
  // 8 windows are more than 0.25 s, 7 aren't; 0.4 neither begins nor ends speech.
  const short = scores([4, 0], [7, 0.9], [5, 0.1], [8, 0.9], [2, 0.4], [6, 0.1]);
  assertEquals(stretchesOf(short, 32 * window), [[16 * window - 480, 26 * window + 480]]);
  // A silence ends speech once it has lasted 0.1 s at a window's beginning: 5 windows.
  const gap = (count: number) => scores([8, 0.9], [count, 0.1], [9, 0.9]);
  assertEquals(stretchesOf(gap(4), 21 * window), [[0, 21 * window]]);
  assertEquals(stretchesOf(gap(5), 22 * window - 100), [[0, 8 * window + 480], [
    13 * window - 480,
    22 * window - 100,
  ]]);
  assertEquals(stretchesOf([], 0), []);
});

Deno.test("numbers are rounded as in Python", () => {
  const cases: [number, number, number][] = [
    [0.25, 1, 0.2],
    [0.75, 1, 0.8],
    [0.0625, 3, 0.062],
    [0.1875, 3, 0.188],
    [2.675, 2, 2.67],
    [1.0005, 3, 1],
    [0.15, 1, 0.1],
    [3, 1, 3],
  ];
  for (const [value, digits, rounded] of cases) assertEquals(roundEven(value, digits), rounded);
  assertEquals(inTenths([[4000, 12000], [20000, 20480]], 20480), [[0.2, 0.8], [1.2, 1.28]]);
});

Deno.test("output.json: a missing end is the beginning; what isn't words is refused", () => {
  const chunk = (timestamp: unknown, text: unknown = "a") => ({ chunks: [{ text, timestamp }] });
  assertEquals(readWords(chunk([1, null]), "x"), [{ text: "a", from: 1, to: 1 }]);
  for (
    const wrong of [
      null,
      {},
      chunk(1),
      chunk([1]),
      chunk([null, 1]),
      chunk(["1", 2]),
      chunk([1, 2], 3),
    ]
  ) {
    assertThrows(() => readWords(wrong, "x"), InputError, "x:");
  }
});

Deno.test("words that an answer lacks are a recognizer's, after an interruption from its end on", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const wav = await WavWriter.create(`${folder}/output.wav`, 16000);
    await wav.write(new Float32Array(32000));
    await wav.close();
    await Deno.copyFile(`${folder}/output.wav`, `${folder}/input.wav`);
    const heard: number[] = [];
    const hearing = {
      ffmpeg: () => Promise.reject(new Error("WAV needs no FFmpeg")),
      detector: () => Promise.reject(new Error("no figure needs speech")),
      words: (sound: Float32Array) => {
        heard.push(sound.length);
        return Promise.resolve(words([0.25, 0.5], [0.5, 1.4]));
      },
    };
    const annotations = { "turn_taking.json": 0.25, "interrupt.json": 0.25, "pause.json": null };
    for (const [name, latency] of Object.entries(annotations)) {
      await Deno.writeTextFile(`${folder}/${name}`, '[{"timestamp": [0, 0.5]}]');
      const [sample] = await findSamples(folder);
      assert(sample);
      const score = await scoreSample(sample, hearing);
      assertEquals(score.takesTurn, true);
      assertEquals(score.latency, latency);
      await assertRejects(
        () => scoreSample(sample, { ...hearing, words: null }),
        InputError,
        "--judges words",
      );
      await Deno.remove(`${folder}/${name}`);
    }
    assertEquals(heard, [32000, 24000, 32000]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

const set = new URL("../../../samples/full-duplex-bench", import.meta.url).pathname;

/** A copy of the committed set without answers. */
async function inCopy(body: (root: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const copy = async (from: string, to: string) => {
    await Deno.mkdir(to);
    for await (const { name, isDirectory } of Deno.readDir(from)) {
      if (isDirectory) await copy(`${from}/${name}`, `${to}/${name}`);
      else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
    }
  };
  try {
    await copy(set, `${folder}/set`);
    await body(`${folder}/set`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A detector by level: the test needs no package. */
const byLevel = () =>
  Promise.resolve({
    scores: (sounds: readonly Float32Array[]) => Promise.resolve(sounds.map(levelScores)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });

/** Scores as a command; gives what it prints. */
async function score(...args: string[]): Promise<string> {
  const all = ["--layout", "full-duplex-bench", "--quiet", ...args];
  const { out } = await captured(() => run(all, { judges: "none" }, byLevel));
  return out;
}

Deno.test("batch answers the committed set in its layout, and score gives the official figures", async () => {
  await inCopy(async (root) => {
    const { code } = await batch("--layout", "full-duplex-bench", root, "-o", `${root}-answers`);
    assertEquals(code, 0);
    const result = JSON.parse(await score(root, "--json", "--draws", "10"));
    assertSchema(result);
    const [{ figures, samples, leftOut }] = result.systems;
    assertEquals([samples.length, leftOut], [8, []]);
    const value = (set: string, key: string) =>
      figures.find((one: { set: string; key: string }) => one.set === set && one.key === key)
        ?.value;
    // The echo says a word every 0.48 s from the first unit on, and sounds one unit after the user.
    assertEquals(value("synthetic_pause_handling", "takeoverRate"), 1);
    assertEquals(value("turn_taking", "takeoverRate"), 1);
    assertEquals(value("turn_taking", "latency"), 0);
    const late = value("synthetic_user_interruption", "latency");
    assert(late >= 0 && late < 0.48, `${late}`);
    for (const set of ["user_interruption", "user_backchannel"]) {
      assertEquals(samples.find((one: { set: string }) => one.set === set).stop.length > 0, true);
      assert(value(set, "stopLatency") > 0.1);
    }
    assert(value("backchannel", "timesDistance") > 0 && value("backchannel", "timesDistance") < 1);
    // A second run of the batch finds everything done, and the answers are the same.
    const before = await Deno.readFile(`${root}/v1.5/user_interruption/1/clean_output.wav`);
    await batch("--layout", "full-duplex-bench", root, "-o", `${root}-answers`);
    assertEquals(await Deno.readFile(`${root}/v1.5/user_interruption/1/clean_output.wav`), before);

    await Deno.remove(`${root}/v1.0/turn_taking/1/output.json`);
    const table = await score(root);
    assert(table.includes("7 samples, 1 left out") && table.includes("TOR"), table);
    assert((await score(root, "--csv")).startsWith("system,set,task,key,value"));
    await assertRejectsWith(["--delay", "5", root], "--delay and --layout exclude each other");
    await assertRejectsWith(["--judges", "voice", root], "with --layout it may be words");
  });
});

async function assertRejectsWith(args: string[], message: string): Promise<void> {
  const error = await score(...args).then(() => null, (error) => error);
  assert(error instanceof InputError && error.message.includes(message), `${error}`);
}

/** What silero-vad 6.2.0 (PyPI) gives of some of the committed recordings: `get_speech_timestamps`, in samples. */
const sileros: Record<string, Stretch[]> = {
  "v1.0/synthetic_pause_handling/1/input": [[4640, 14816], [28704, 39904]],
  "v1.0/synthetic_pause_handling/2/input": [[4128, 11744], [24608, 35296]],
  "v1.0/turn_taking/1/input": [[4640, 21984]],
  "v1.5/user_backchannel/1/input": [[4640, 24032], [44576, 58336]],
};

const silero = await Silero.open().catch((error: Error) => error.message);
const why = typeof silero === "string" ? ` (skipped: ${silero})` : "";

Deno.test({
  name: `stretches of committed recordings are those of silero-vad's own package${why}`,
  ignore: why !== "",
  async fn() {
    if (typeof silero === "string") return;
    const sounds = await Promise.all(
      Object.keys(sileros).map((name) =>
        readSound(`${set}/${name}.wav`, user, 60, () => Promise.reject(new Error("no FFmpeg")))
      ),
    );
    await using detector = silero;
    const scores = await detector.scores(sounds);
    const found = scores.map((list, i) => stretchesOf(list, sounds[i]?.length ?? 0));
    assertEquals(
      Object.fromEntries(Object.keys(sileros).map((name, i) => [name, found[i]])),
      sileros,
    );
  },
});
