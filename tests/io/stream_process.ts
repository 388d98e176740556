/** `stream` as a process between two pipes, for tests: an echo answers, so no GPU is needed. */
import { openConfig } from "../../engine/checkpoint/checkpoint.ts";
import { MatroskaMuxer } from "../../io/media/matroska_muxer.ts";
import { type StreamShape, streamShapes } from "../../io/media/stream_shape.ts";
import { random } from "../reference/random.ts";

const config = await openConfig(
  new URL("../../engine/models/nano-1", import.meta.url).pathname,
);
/** Both sides' shapes. */
export const { user, agent } = streamShapes(config);

/** A unit of noise. */
export function noise(shape: StreamShape, unit: number) {
  const next = random(unit + 1);
  return {
    unit,
    text: "",
    audio: Float32Array.from({ length: shape.samples }, () => next() - 0.5),
    frames: Uint8Array.from(
      { length: shape.frames * shape.width * shape.height * 3 },
      () => Math.floor(256 * next()),
    ),
  };
}

/** A stream of the user's noise: its head, unit by unit. */
export function userStream(units: number): Uint8Array<ArrayBuffer>[] {
  const muxer = new MatroskaMuxer(user);
  const head = muxer.start();
  return [head, ...Array.from({ length: units }, (_, unit) => muxer.unit(noise(user, unit)))];
}

/** Bytes of the head and of each unit of what comes out (echoes say nothing here). */
export function answerBytes(units: number): number[] {
  const muxer = new MatroskaMuxer(agent);
  const silent = { ...noise(agent, 0), text: "" };
  return [
    muxer.start(),
    ...Array.from(
      { length: units },
      (_, unit) => muxer.unit({ ...silent, unit, text: unit % 3 === 0 ? ` w${unit}` : "" }),
    ),
  ].map((x) => x.length);
}

/** Starts it; `delay` is the echo's ms per unit. */
export function start(delay: number, ...args: string[]): Deno.ChildProcess {
  const program = new URL("./echo_stream.ts", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-check", "-A", program, `${delay}`, ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Gives it all of its input at once and takes all of its output. */
export async function pipe(input: Uint8Array, ...args: string[]) {
  const process = start(0, ...args);
  const writer = process.stdin.getWriter();
  const writing = writer.write(input).then(() => writer.close()).catch(() => {});
  const { code, stdout, stderr } = await process.output();
  await writing;
  return { code, stdout, stderr: new TextDecoder().decode(stderr) };
}

/** Counts bytes as they come. */
export class Taken {
  bytes = 0;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** Waits until so many bytes have come. @throws when that takes too long. */
  async until(bytes: number, ms: number, what: string): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${what}: ${this.bytes} of ${bytes} bytes after ${ms} ms`)),
        ms,
      );
    });
    try {
      while (this.bytes < bytes) {
        const { done, value } = await Promise.race([this.#reader.read(), late]);
        if (done) throw new Error(`${what}: it ended after ${this.bytes} of ${bytes} bytes`);
        this.bytes += value.length;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }
}
