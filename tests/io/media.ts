/** Material of the io tests: temporary folders, recordings made by FFmpeg, measuring what is in a file. */
import { type Ffmpeg, findFfmpeg } from "../../io/ffmpeg/ffmpeg.ts";
import { openInput } from "../../io/ends/observe.ts";
import type { Observation } from "../../engine/checkpoint/unit.ts";
import type { StreamShape } from "../../io/media/stream_shape.ts";

export const ffmpeg: Ffmpeg | null = await findFfmpeg().catch(() => null);

/** The same as io takes it; looked for once, because every start of FFmpeg takes a tenth of a second. */
export const finder = () => ffmpeg ? Promise.resolve(ffmpeg) : findFfmpeg();

/** A small user side: 64x48 at 25 frames/s, 16 kHz. */
export const userShape: StreamShape = {
  unitMs: 160,
  fps: 25,
  frames: 4,
  width: 64,
  height: 48,
  sampleRate: 16000,
  samples: 2560,
};

/** Deno.test with a temporary folder that is removed afterwards. */
export function folderTest(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test(name, () => inFolder(fn));
}

/** The same for a test that needs FFmpeg; without it the test is skipped and its name says why. */
export function ffmpegTest(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({
    name: ffmpeg ? name : `${name} (skipped: no FFmpeg was found)`,
    ignore: ffmpeg === null,
    fn: () => inFolder(fn),
  });
}

async function inFolder(fn: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "wanstream-test-" });
  try {
    await fn(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs FFmpeg to its end. @throws with its messages when it fails. */
export async function make(...args: string[]): Promise<Uint8Array<ArrayBuffer>> {
  const { success, stdout, stderr } = await new Deno.Command(ffmpeg?.path ?? "ffmpeg", {
    args: ["-hide_banner", "-nostdin", "-loglevel", "error", "-y", ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return stdout;
}

/** Arguments for a moving picture and a tone of some seconds. */
export function picture(seconds: number, size = "160x120", fps = 25): string[] {
  return ["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${fps}:duration=${seconds}`];
}
export function tone(seconds: number, rate = 44100, hertz = 440): string[] {
  return ["-f", "lavfi", "-i", `sine=frequency=${hertz}:sample_rate=${rate}:duration=${seconds}`];
}

/** Reads a whole input as units. */
export async function observe(path: string, shape = userShape) {
  const { observations, facts } = await openInput(path, shape, finder);
  const units: Observation[] = [];
  for await (const unit of observations) units.push(unit);
  return { units, facts, cut: observations.cut };
}

/** Decodes a file with FFmpeg and counts what comes out. */
export async function count(path: string, width: number, height: number) {
  const video = await make(
    "-i",
    path,
    "-map",
    "0:v",
    "-f",
    "rawvideo",
    "-pix_fmt",
    "rgb24",
    "pipe:1",
  )
    .catch(() => new Uint8Array());
  const audio = await make("-i", path, "-map", "0:a", "-f", "f32le", "-ac", "1", "pipe:1")
    .catch(() => new Uint8Array());
  return {
    frames: video.length / (width * height * 3),
    samples: audio.length / 4,
    video,
    audio: new Float32Array(audio.buffer, 0, Math.floor(audio.length / 4)),
  };
}

/** SHA-256 (hex) of a file. */
export async function digest(path: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return new Uint8Array(hash).toHex();
}

/** Names in a folder, hidden ones too. */
export function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
}

/** Root mean square. */
export function rms(samples: Float32Array | null): number {
  if (samples === null || samples.length === 0) return 0;
  return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
}
