/** Stand-ins for a session that play a part in recordings with truth records: the oracle itself, or
 * worse. For tests of the measures; need no GPU. */
import { openConfig } from "../../../engine/checkpoint/checkpoint.ts";
import { run } from "../../../io/commands/eval.ts";
import type { Media } from "../../../engine/model/unit_coders.ts";
import type { ModelConfig } from "../../../engine/config/config.ts";
import type { Observation, Response } from "../../../engine/checkpoint/unit.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { openRecording, type Recording } from "../../../io/eval/recordings.ts";
import { openInput } from "../../../io/ends/observe.ts";
import type { UnitSession } from "../../../io/pace/pump.ts";
import type { OpenedSession } from "../../../io/run/run_model.ts";
import { streamShapes } from "../../../io/media/stream_shape.ts";
import { finder, make } from "../media.ts";

/** The small set. */
export const smallSet = new URL("../../../samples/eval", import.meta.url).pathname;

/** Makes a recording of the first units of one of the small set, in a folder of its name. */
export async function shorten(name: string, folder: string, units: number): Promise<void> {
  const [from, to] = [`${smallSet}/${name}`, `${folder}/${name}`];
  await Deno.mkdir(to, { recursive: true });
  for await (const { name: file } of Deno.readDir(from)) {
    if (!file.endsWith(".mp4")) continue;
    const length = ["-t", `${(units * 160) / 1000}`, "-crf", "12", "-preset", "ultrafast"];
    await make("-i", `${from}/${file}`, ...length, `${to}/${file}`);
  }
  await shortenTruth(name, folder, units);
}

/** The same with silence for the user and without an oracle's recording: it needs no FFmpeg. */
export async function shortenSilent(name: string, folder: string, units: number): Promise<void> {
  await Deno.mkdir(`${folder}/${name}`, { recursive: true });
  const wav = await WavWriter.create(`${folder}/${name}/user.wav`, 16000);
  await wav.write(new Float32Array(units * 2560));
  await wav.close();
  await shortenTruth(name, folder, units);
}

async function shortenTruth(name: string, folder: string, units: number): Promise<void> {
  const [from, to] = [`${smallSet}/${name}`, `${folder}/${name}`];
  const truth = JSON.parse(await Deno.readTextFile(`${from}/truth.json`));
  const events = truth.events.filter((event: Record<string, number>) =>
    ["start", "end", "onset", "answer"].every((key) => (event[key] ?? 0) < units - 5)
  );
  const record = { ...truth, units, timeline: truth.timeline.slice(0, units), events };
  await Deno.writeTextFile(`${to}/truth.json`, JSON.stringify(record));
}

/** What an agent gives in every unit of a recording. */
export interface Part {
  /** Per unit; "" is nothing. */
  texts: string[];
  media: Media[];
}

const parts = new Map<string, Promise<Part>>();

/** The oracle's part, as recorded; of a recording without it, a tone where the record says so. Decoded
 * once. */
export function oraclePart(folder: string, config: ModelConfig): Promise<Part> {
  const part = parts.get(folder) ?? decodePart(folder, config);
  parts.set(folder, part);
  return part;
}

async function decodePart(folder: string, config: ModelConfig): Promise<Part> {
  const recording = await openRecording(folder);
  const { truth } = recording;
  const texts = truth.timeline.map(({ word }) => word === null ? "" : ` ${word}`);
  const media = recording.agent === null
    ? tones(recording, config)
    : await mediaOf(recording.agent, config);
  return { texts, media: media.slice(0, truth.units) };
}

/** All units of a file that has picture and sound of the agent's shape. */
async function mediaOf(path: string, config: ModelConfig): Promise<Media[]> {
  const { observations } = await openInput(path, streamShapes(config).agent, finder);
  const units: Media[] = [];
  for await (const { audio, frames } of observations) {
    if (audio && frames) units.push({ audio, frames });
  }
  return units;
}

function tones({ truth }: Recording, config: ModelConfig): Media[] {
  const silent = silence(config);
  return truth.timeline.map(({ agent }) =>
    agent ? { ...silent, audio: new Float32Array(silent.audio.length).fill(0.1) } : silent
  );
}

/** A unit of nothing. */
export function silence(config: ModelConfig): Media {
  const { samples, frames, width, height } = streamShapes(config).agent;
  return {
    audio: new Float32Array(samples),
    frames: new Uint8Array(frames * width * height * 3).fill(128),
  };
}

/** An opener of sessions that play these parts, one after the other, whatever they hear. */
export function player(parts: readonly Part[]): { open(): Promise<OpenedSession>; opened: number } {
  const all = {
    opened: 0,
    open(): Promise<OpenedSession> {
      const part = parts[all.opened++] ?? { texts: [], media: [] };
      return Promise.resolve({
        session: play(part),
        info: { placement: "fused" },
        line: "a player",
        checkpointDigest: "0",
      });
    },
  };
  return all;
}

/** A session that answers unit by unit with its part, and says nothing beyond its end. */
export function play({ texts, media }: Part): UnitSession {
  const queue: Observation[] = [];
  let wake = () => {};
  let ended = false;
  return {
    push(observation) {
      queue.push(observation);
      wake();
      return Promise.resolve();
    },
    end() {
      ended = true;
      wake();
    },
    close() {
      this.end();
      return Promise.resolve();
    },
    async *[Symbol.asyncIterator](): AsyncGenerator<Response> {
      for (let unit = 0;;) {
        if (queue.shift()) {
          const given = media[unit];
          if (!given) throw new Error(`the part has no unit ${unit}`);
          yield response(unit, texts[unit] ?? "", given);
          unit++;
        } else if (ended) return;
        else await new Promise<void>((resolve) => wake = resolve);
      }
    },
  };
}

function response(unit: number, text: string, { audio, frames }: Media): Response {
  const stages = {
    encode: 0,
    pass: 0,
    sendSlice: 0,
    solve: 0,
    sendLatents: 0,
    decode: 0,
    wait: 0,
    queue: 0,
    total: 0,
  };
  return { unit, text, tokens: [], audio, frames, digest: "", historyTokens: 0, stages };
}

/** A codec that loses nothing. */
export const perfectCodec = {
  reset() {},
  roundTrip: (media: Media) => Promise.resolve(media),
  close() {},
};

/** Where the command's recordings come from. */
export const sources = {
  smallSet,
  world: new URL("../../../scripts/world", import.meta.url).pathname,
  floors: [new URL("../../../io/eval", import.meta.url).pathname],
  judges: new URL("../../../scripts/judges", import.meta.url).pathname,
};

/** Runs `eval` with the oracle as the agent; returns what it printed and how many sessions it opened.
 *
 * @param folders Of the recordings that it will run, in order. */
export async function evalOracle(
  args: string[],
  folders: string[],
  codec: typeof perfectCodec = perfectCodec,
) {
  const config = await openConfig(new URL("../../../engine/models/nano-1", import.meta.url));
  const agent = player(await Promise.all(folders.map((folder) => oraclePart(folder, config))));
  const { result, out, err } = await captured(() =>
    run(args, sources, agent.open, () => Promise.resolve(codec))
  );
  return { code: result, text: out, said: err, opened: agent.opened };
}

/** What a call writes to standard output and standard error. */
export async function captured<T>(call: () => Promise<T>) {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const { write } = Deno.stdout;
  const { writeSync } = Deno.stderr;
  Deno.stdout.write = (bytes) => Promise.resolve(out.push(bytes.slice()) && bytes.length);
  Deno.stderr.writeSync = (bytes) => err.push(bytes.slice()) && bytes.length;
  const text = (parts: Uint8Array[]) =>
    new TextDecoder().decode(Uint8Array.from(parts.flatMap((part) => [...part])));
  try {
    const result = await call();
    return { result, out: text(out), err: text(err) };
  } finally {
    Deno.stdout.write = write;
    Deno.stderr.writeSync = writeSync;
  }
}
