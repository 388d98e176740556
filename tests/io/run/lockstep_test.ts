/** `stream --lockstep` as a process: a message in, its answer out, before anything else is read. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { listAdapters } from "../../../engine/mod.ts";
import { tinyConfig } from "../../engine/support.ts";
import { withCheckpoint } from "../../engine/tiny_checkpoint.ts";
import type { Observation, Response } from "../../../engine/mod.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { Lockstep } from "../../../io/run/lockstep.ts";
import { pumpInTurn } from "../../../io/pace/pump.ts";
import { fromPcm16, toPcm16, WavWriter } from "../../../io/media/wav.ts";
import { frameBytes, streamShapes } from "../../../io/media/stream_shape.ts";
import { concat } from "../../../io/system/bytes.ts";
import { agent, noise, pipe, start, user } from "../stream_process.ts";

const echo = new URL("../echo_stream.ts", import.meta.url).pathname;
const examples = new URL("../../../scripts/examples", import.meta.url).pathname;
const unitBytes = user.samples * 2;
const encode = (text: string) => new TextEncoder().encode(text);
const message = (fields: object, ...body: Uint8Array[]) =>
  concat([encode(`${JSON.stringify(fields)}\n`), ...body]);
/** A message with a unit of noise. */
const sound = (unit: number, fields = {}) =>
  message({ bytes: unitBytes, ...fields }, toPcm16(noise(user, unit).audio));

/** The answers that stand in an output. */
function answers(bytes: Uint8Array) {
  const all: { fields: Record<string, unknown>; body: Uint8Array }[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(10, at);
    const fields = JSON.parse(new TextDecoder().decode(bytes.subarray(at, end)));
    at = end + 1 + fields.bytes;
    all.push({ fields, body: bytes.slice(end + 1, at) });
  }
  return all;
}

Deno.test("each message is answered before the next is written, in both schedules", async () => {
  for (const schedule of ["eager", "paper"]) {
    const child = start(0, "--lockstep", "--schedule", schedule, "--quiet");
    const writer = child.stdin.getWriter();
    const reader = child.stdout.getReader();
    for (let unit = 0; unit < 3; unit++) {
      await writer.write(sound(unit));
      let got = new Uint8Array();
      const isWhole = () => {
        const end = got.indexOf(10);
        if (end < 0) return false;
        return got.length >=
          end + 1 + JSON.parse(new TextDecoder().decode(got.slice(0, end))).bytes;
      };
      while (!isWhole()) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`${schedule}: it ended without answering unit ${unit}`);
        got = concat([got, value]);
      }
      const [answer, ...more] = answers(got);
      assertEquals(more, []);
      assertEquals(answer?.fields, {
        bytes: agent.samples * 2,
        unit,
        text: unit % 3 === 0 ? ` w${unit}` : "",
        active: true,
        pictures: false,
        sample_rate: agent.sampleRate,
      });
      // The echo gives back what it heard.
      const heard = toPcm16(noise(user, unit).audio);
      assertEquals(answer?.body.subarray(0, heard.length), heard.subarray(0, answer?.body.length));
    }
    await writer.close();
    await reader.cancel();
    assertEquals((await child.status).code, 0);
    await child.stderr.cancel();
  }
});

Deno.test("silence, typed text and pictures are fields of a message; pictures come back on request", async () => {
  const { frames } = noise(user, 1);
  const input = concat([
    message({ bytes: 0, text: "hello" }),
    message({ bytes: frames.length, pictures: true, answer_pictures: true }, frames),
    message(
      { bytes: unitBytes + frames.length, pictures: true },
      new Uint8Array(unitBytes),
      frames,
    ),
  ]);
  const { code, stdout, stderr } = await pipe(input, "--lockstep", "--quiet");
  assertEquals([code, stderr], [0, ""]);
  const [silent, seen, both] = answers(stdout);
  const pictures = agent.frames * frameBytes(agent);
  assertEquals(silent?.fields.active, false);
  assertEquals(seen?.fields.pictures, true);
  assertEquals(seen?.body.length, agent.samples * 2 + pictures);
  assertEquals(seen?.body.subarray(agent.samples * 2).some((x) => x !== 0), true);
  assertEquals(both?.fields.pictures, false);
  assertEquals(both?.body.length, agent.samples * 2);
});

/** What reading messages ends with: the line of an error, or why it broke off. */
async function read(input: Uint8Array): Promise<string | undefined> {
  // In pieces, as a pipe gives them.
  async function* pieces() {
    for (let at = 0; at < input.length; at += 1000) yield await input.slice(at, at + 1000);
  }
  const source = { name: "pieces", chunks: pieces(), close: () => Promise.resolve() };
  const sink = { name: "none", write: () => Promise.resolve(0), close: () => Promise.resolve() };
  const reader = new Lockstep(source, sink, { user, agent });
  try {
    for await (const _ of reader);
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw error;
  }
  return reader.cut?.reason;
}

Deno.test("a message that isn't one is an error of one line; one that breaks off is a cut", async () => {
  const wrong: [what: string, input: Uint8Array, line: string][] = [
    ["no JSON", encode("hello\n"), `message 0: its line "hello" is no JSON`],
    ["no object", encode("[1]\n"), "message 0: is [1]; it must be an object"],
    ["no bytes", message({}), "message 0: bytes is missing"],
    ["a negative size", message({ bytes: -1 }), "message 0: bytes is -1"],
    ["a huge size", message({ bytes: 1e12 }), "message 0: bytes is 1000000000000"],
    [
      "half a unit",
      concat([sound(0), message({ bytes: unitBytes / 2 }, new Uint8Array(unitBytes / 2))]),
      `message 1: bytes is ${unitBytes / 2}; it may be ${unitBytes} (${user.samples} samples of ` +
      "16 bits), or 0 without sound",
    ],
    ["pictures that don't fit", message({ bytes: unitBytes, pictures: true }), "and pictures"],
    ["an unknown field", message({ bytes: 0, txt: "a" }), "did you mean text?"],
    ["text that is none", message({ bytes: 0, text: 1 }), "message 0: text is 1"],
    ["a line without an end", new Uint8Array(1 << 17).fill(32), "message 0: its line has more"],
    [
      "an end in a line",
      concat([sound(0), encode('{"bytes"')]),
      "message 1 ends inside its line",
    ],
    ["an end in samples", sound(0).subarray(0, 100), "message 0 has "],
  ];
  for (const [what, input, line] of wrong) {
    const said = await read(input) ?? "nothing";
    assertStringIncludes(said, line, what);
    assertEquals(said.split("\n").length, 1, what);
  }
  assertEquals(await read(concat([sound(0), sound(1)])), undefined);
});

Deno.test("a wrong message ends the stream with code 2, one that breaks off with code 3", async () => {
  for (
    const [code, input, args, line] of [
      [2, encode("hello\n"), [], "is no JSON"],
      [
        2,
        concat([encode('{"bytes":0,"text":"'), Uint8Array.of(0xff), encode('"}\n')]),
        [],
        "no JSON",
      ],
      [3, concat([sound(0), sound(1).subarray(0, 100)]), [], "1 whole unit before that"],
      [2, new Uint8Array(), ["--raw-audio", "x"], "--lockstep and --raw-audio"],
      [2, new Uint8Array(), ["--pace", "live"], "--pace live"],
    ] as const
  ) {
    const done = await pipe(input, "--lockstep", "--quiet", ...args);
    assertEquals(done.code, code, done.stderr);
    assertStringIncludes(done.stderr, line);
    assertEquals(done.stderr.trimEnd().split("\n").length, 1, done.stderr);
    assertEquals(answers(done.stdout).length, code - 2);
  }
});

Deno.test("in turn: an observation is asked for, pushed and answered before the next is asked for", async () => {
  const seen: string[] = [];
  let isOver = false;
  const session = {
    push: () => Promise.resolve(void seen.push("pushed")),
    end: () => void (isOver ||= seen.push("end") > 0),
    close: () => Promise.resolve(void seen.push("closed")),
    // A generator runs when its next response is awaited.
    async *[Symbol.asyncIterator]() {
      for (let unit = 0; !isOver; unit++) {
        seen.push("awaited");
        yield await Promise.resolve({ unit } as Response);
      }
    },
  };
  async function* observations(): AsyncGenerator<Observation> {
    for (let unit = 0; unit < 2; unit++) {
      seen.push("asked");
      yield await Promise.resolve({ audio: null, frames: null });
    }
  }
  const { signal } = new AbortController();
  for await (const _ of pumpInTurn(session, observations(), signal)) seen.push("answered");
  const turn = ["asked", "pushed", "awaited", "answered"];
  assertEquals(seen, [...turn, ...turn, "end", "closed"]);
});

Deno.test("PCM of 16 bits goes there and back", () => {
  const bytes = Uint8Array.from({ length: 131072 }, (_, i) => (i >> 1) >> 8 * (i % 2));
  assertEquals(toPcm16(fromPcm16(bytes)), bytes);
  assertEquals([...fromPcm16(toPcm16(new Float32Array([2, -2, 0.5])))], [32767 / 32768, -1, 0.5]);
});

const hasAdapter = (await listAdapters()).length > 0;

Deno.test({
  name: `a model answers the same in both schedules, and goes on where it was saved${
    hasAdapter ? "" : " (skipped: no WebGPU adapter on this machine)"
  }`,
  ignore: !hasAdapter,
  fn: () =>
    withCheckpoint(tinyConfig(), async (model) => {
      const program = new URL("../../../main.ts", import.meta.url).pathname;
      const { user } = streamShapes(tinyConfig());
      const message = (unit: number) => {
        const samples = toPcm16(noise(user, unit).audio);
        return concat([encode(`{"bytes": ${samples.length}}\n`), samples]);
      };
      const stream = async (units: number[], ...args: string[]) => {
        const child = new Deno.Command(Deno.execPath(), {
          args: [
            ...["run", "-q", "--no-check", "-A", program, "stream", "--lockstep", "--quiet"],
            ...["--model", model, "--seed", "5", "--steps", "1", "--no-tune", ...args],
          ],
          stdin: "piped",
          stdout: "piped",
          stderr: "inherit",
        }).spawn();
        const writer = child.stdin.getWriter();
        const writing = writer.write(concat(units.map(message))).then(() => writer.close());
        const { code, stdout } = await child.output();
        await writing;
        assertEquals(code, 0);
        return answers(stdout);
      };
      const all = await stream([0, 1, 2, 3, 4], "--schedule", "eager");
      assertEquals(all.map(({ fields }) => fields.unit), [0, 1, 2, 3, 4]);
      assert(new Set(all.map(({ body }) => body.join())).size > 1);
      const saved = ["--save-session", `${model}/saved`, "--every", "2"];
      const first = await stream([0, 1, 2], "--schedule", "paper", ...saved);
      // The end is saved too, after a unit that was answered before anybody knew that it is the last.
      const rest = await stream([3, 4], "--resume", `${model}/saved`);
      assertEquals([...first, ...rest], all);
    }),
});

/** tau-voice's own classes, as far as its adapter needs them. */
const tau = {
  "tau2/__init__.py": "",
  "tau2/voice/__init__.py": "",
  "tau2/voice/audio_native/__init__.py": "",
  "tau2/voice/audio_native/adapter.py": `
class DiscreteTimeAdapter:
    def __init__(self, tick_duration_ms):
        self.tick_duration_ms, self.bytes_per_tick = tick_duration_ms, 8 * tick_duration_ms
        self._pending_tool_results = []
`,
  "tau2/voice/audio_native/audio_converter.py": `
class StreamingTelephonyConverter:
    def __init__(self, *rates): assert rates == (16000, 16000)
    def convert_input(self, sound): return b"".join(bytes([0, x]) * 2 for x in sound)
    def convert_output(self, sound): return sound[1::4]
`,
  "tau2/voice/audio_native/tick_result.py": `
class TickResult:
    def __init__(self, **fields): self.__dict__.update(fields)
`,
};

Deno.test("the Python examples drive a real child process", async () => {
  const folder = await Deno.makeTempDir();
  const python = async (...args: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command("python3", {
      args,
      env: { PYTHONPATH: `${folder}:${examples}`, PYTHONDONTWRITEBYTECODE: "1" },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals(code, 0, text(stderr));
    return text(stdout);
  };
  const model = [
    Deno.execPath(),
    "run",
    "-q",
    "--no-check",
    "-A",
    echo,
    "0",
    "--lockstep",
    "--quiet",
  ];
  try {
    const wav = await WavWriter.create(`${folder}/in.wav`, user.sampleRate);
    for (let unit = 0; unit < 4; unit++) await wav.write(noise(user, unit).audio);
    await wav.close();
    const paths = [`${folder}/in.wav`, `${folder}/out.wav`];
    assertEquals(await python(`${examples}/lockstep.py`, ...paths, ...model), " w0 w3\n");
    const [given, taken] = await Promise.all(paths.map((path) => Deno.readFile(path)));
    assertEquals(taken, given);

    for (const [path, text] of Object.entries(tau)) {
      await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${folder}/${path}`, text);
    }
    const said = await python(
      "-c",
      `
import sys
from tau_voice import WanstreamAdapter
adapter = WanstreamAdapter(sys.argv[1:])
adapter.connect("", [], None)
for n, sound in enumerate([b"\\x11" * 1280, b"\\0" * 1280]):
    r = adapter.run_tick(sound, n)
    print(r.tick_number, r.proportional_transcript, r.agent_audio_chunks == [(sound, "agent")], len(r.agent_audio_chunks))
adapter.disconnect()
print(adapter.is_connected)
`,
      ...model,
    );
    assertEquals(said, "0  w0 True 1\n1  False 0\nFalse\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
