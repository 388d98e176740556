/** Full-Duplex-Bench as folders: what is found in them, and what is written. */
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import {
  eventTimes,
  findSamples,
  fullDuplexBench,
  readJson,
} from "../../../io/layouts/full_duplex_bench.ts";
import { decodeSamples, readWavHeader } from "../../../io/media/wav.ts";
import { random } from "../../reference/random.ts";

/** The committed set. */
const set = new URL("../../../samples/full-duplex-bench", import.meta.url).pathname;

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Makes files by path; text that is empty, or what it says. */
async function files(folder: string, content: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(content)) {
    await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(`${folder}/${path}`, text);
  }
}

Deno.test("the committed set has samples of every task, and recordings without the overlap", async () => {
  const samples = await findSamples(set);
  assertEquals(samples.map(({ set, name, task, hasClean }) => [set, name, task, hasClean]), [
    ["backchannel", "1", "backchannel", false],
    ["synthetic_pause_handling", "1", "pause_handling", false],
    ["synthetic_pause_handling", "2", "pause_handling", false],
    ["synthetic_user_interruption", "1", "user_interruption", false],
    ["turn_taking", "1", "smooth_turn_taking", false],
    ["turn_taking", "2", "smooth_turn_taking", false],
    ["user_backchannel", "1", "overlap", true],
    ["user_interruption", "1", "overlap", true],
  ]);
  for (const sample of samples) {
    const format = await readWavHeader(`${sample.folder}/input.wav`);
    assertEquals([format?.sampleRate, format?.channels, format?.bits], [16000, 1, 16]);
    if (sample.task === "backchannel") continue;
    const [from, to] = await eventTimes(sample);
    assertEquals(from < to && to < (format?.length ?? 0) / 32000, true, sample.folder);
  }
});

Deno.test("a task's folder and a sample's are found too, numbers in order", async () => {
  await inFolder(async (folder) => {
    const sample = { "input.wav": "x", "pause.json": "[]" };
    for (const name of ["10", "9", "2"]) {
      await files(
        folder,
        Object.fromEntries(Object.entries(sample).map(([k, v]) => [`${name}/${k}`, v])),
      );
    }
    const ids = async (root: string) => (await fullDuplexBench.items(root)).map(({ id }) => id);
    assertEquals(await ids(folder), ["2", "9", "10"]);
    assertEquals(await ids(`${folder}/9`), ["9"]);
    await Deno.symlink(`${folder}/9`, `${folder}/link`);
    assertEquals(await ids(folder), ["2", "9", "10", "link"]);
  });
});

Deno.test("folders that aren't the benchmark's are refused in one line", async () => {
  const wrong: [Record<string, string>, RegExp][] = [
    [{ "a/b.txt": "" }, /no folder in it has an input.wav/],
    [{ "a/input.wav": "x" }, /a: has no annotation: a sample has one of pause.json/],
    [
      { "a/input.wav": "x", "a/pause.json": "", "a/interrupt.json": "" },
      /has pause.json and interrupt/,
    ],
    [
      { "a b/input.wav": "", "a b/pause.json": "", "a:b/input.wav": "", "a:b/pause.json": "" },
      /a-b/,
    ],
    [
      { "a/input.wav": "x", "a/pause.json": "[]", "a/output.wav": "theirs" },
      /output.wav: is another system's answer/,
    ],
    [
      { "a/input.wav": "x", "a/pause.json": "[]", "a/output.json": '{"text": "", "chunks": []}' },
      /output.json: is another system's answer/,
    ],
  ];
  for (const [content, message] of wrong) {
    await inFolder(async (folder) => {
      await files(folder, content);
      const error = await assertRejects(() => fullDuplexBench.items(folder), InputError);
      assertEquals(message.test(error.message), true, error.message);
    });
  }
  await assertRejects(() => findSamples("/nowhere/at/all"), InputError, "no such file");
});

Deno.test("times of events are read strictly", async () => {
  const wrong = [
    "",
    "[]",
    "[{}]",
    '[{"timestamp": [1]}]',
    '[{"timestamp": [2, 1]}]',
    '[{"timestamp": ["1", 2]}]',
  ];
  for (const text of wrong) {
    await inFolder(async (folder) => {
      await files(folder, { "input.wav": "x", "turn_taking.json": text });
      const [sample] = await findSamples(folder);
      if (!sample) throw new Error("no sample");
      const error = await assertRejects(() => eventTimes(sample), InputError);
      assertEquals(error.message.includes("turn_taking.json"), true, error.message);
    });
  }
});

Deno.test("an answer is written on the recording's clock, as long as the recording", async () => {
  await inFolder(async (folder) => {
    await files(folder, { "input.wav": "x", "interrupt.json": '[{"timestamp": [0.1, 0.5]}]' });
    const [item] = await fullDuplexBench.items(folder);
    if (!item) throw new Error("no item");
    const next = random(4);
    const samples = Float32Array.from({ length: 16000 }, () => next() - 0.5);
    const words = [[0, 0.16], [0.32, 0.48], [0.48, 0.96], [0.7, 0.9]].map((
      [from = 0, to = 0],
      i,
    ) => ({
      ...{ text: `w${i}`, from, to },
    }));
    const answer = { samples, sampleRate: 16000, words, seconds: 0.75, delay: 0.16 };
    // What was written before is replaced.
    for (let run = 0; run < 2; run++) {
      await fullDuplexBench.write(item, answer);
      const json = JSON.parse(await Deno.readTextFile(`${folder}/output.json`));
      // What begins before the interruption has ended isn't its answer, nor what comes after the end.
      assertEquals(json.text, "w2");
      assertEquals(json.chunks, [{ text: "w2", timestamp: [0.64, 0.75] }]);
      const format = await readWavHeader(`${folder}/output.wav`);
      if (!format) throw new Error("no WAV");
      assertEquals([format.sampleRate, format.channels, format.bits], [16000, 1, 16]);
      const bytes = (await Deno.readFile(`${folder}/output.wav`)).subarray(format.start);
      const written = decodeSamples(bytes, format);
      assertEquals(written.length, 12000);
      assertEquals(written.subarray(0, 2560).every((sample) => sample === 0), true);
      const off = written.subarray(2560).map((sample, i) => Math.abs(sample - (samples[i] ?? 0)));
      assertEquals(Math.max(...off) < 1 / 32768, true);
      assertEquals((await fullDuplexBench.items(folder)).length, 1);
    }
    await fullDuplexBench.write(item, { ...answer, samples: new Float32Array(100), words: [] });
    const silent = JSON.parse(await Deno.readTextFile(`${folder}/output.json`));
    assertEquals([silent.text, silent.chunks], ["", []]);
    assertEquals((await readWavHeader(`${folder}/output.wav`))?.length, 24000);
  });
});

Deno.test("a link back to a folder above is no other folder, a pipe isn't waited for, and no time is endless", async () => {
  await inFolder(async (folder) => {
    await files(folder, { "a/1/input.wav": "", "a/1/interrupt.json": '[{"timestamp":[2,1e999]}]' });
    await Deno.symlink("..", `${folder}/a/again`);
    const [sample, ...more] = await findSamples(folder);
    assertEquals([sample?.name, more], ["1", []]);
    if (sample) await assertRejects(() => eventTimes(sample), InputError, "in order");
    if (Deno.build.os === "windows") return;
    await new Deno.Command("mkfifo", { args: [`${folder}/pipe.json`] }).output();
    await assertRejects(() => readJson(`${folder}/pipe.json`), InputError, "is no file");
  });
});
