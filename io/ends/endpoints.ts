/**
 * Where a stream comes from and goes to: a path (file, FIFO), `-` (standard input and
 * output), or `unix:PATH`, a Unix socket that somebody listens on.
 */
import { dirname } from "node:path";
import { InputError } from "../../engine/config/errors.ts";
import { ifThere, isExhausted, osReason, outputError } from "../system/errors.ts";
import { FfmpegProcess } from "../ffmpeg/ffmpeg.ts";
import { orAborted } from "../system/interrupt.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";

/** Bytes that come in. */
export interface ByteSource {
  /** For messages. */
  name: string;
  /** Chunks, each as soon as it is there; nothing is read ahead. */
  chunks: AsyncIterable<Uint8Array>;
  /** Lets go; may be called at any time. */
  close(): Promise<void>;
}

/** Bytes that go out. */
export interface ByteSink {
  name: string;
  /**
   * Writes all of it; waits while the reader doesn't take it. Gives the moment (performance.now) at
   * which the first bytes were taken. @throws ReaderGone
   */
  write(bytes: Uint8Array): Promise<number>;
  /** Completes what was written. */
  close(): Promise<void>;
}

/** Whoever read our output has gone: the end of the work, and no error. */
export class ReaderGone extends Error {
  override name = "ReaderGone";
}

const unix = "unix:";

/** Deno opens nothing under these names, but has the streams. */
const isStandardInput = (spec: string) => /^(-|\/dev\/stdin|\/dev\/fd\/0)$/.test(spec);
export const isStandardOutput = (spec: string) => /^(-|\/dev\/stdout|\/dev\/fd\/1)$/.test(spec);
const isStandardError = (spec: string) => /^\/dev\/(stderr|fd\/2)$/.test(spec);

/** Opens a source. @throws InputError */
export async function openSource(spec: string, ffmpeg: FfmpegFinder): Promise<ByteSource> {
  if (spec.startsWith(unix)) {
    const process = new FfmpegProcess(await ffmpeg(), [
      ...["-protocol_whitelist", "unix", "-f", "data", "-i", spec],
      ...["-map", "0", "-c", "copy", "-flush_packets", "1", "-f", "data", "pipe:1"],
    ], { stdout: true });
    return {
      name: spec,
      chunks: fromSocket(process, spec),
      close: () => process.kill(),
    };
  }
  const isStandard = isStandardInput(spec);
  const file = isStandard ? Deno.stdin : await open(spec, { read: true });
  const stop = new AbortController();
  return {
    name: isStandard ? "standard input" : spec,
    chunks: chunksOf(file, stop.signal),
    close() {
      if (!stop.signal.aborted && !isStandard) file.close();
      stop.abort();
      return Promise.resolve();
    },
  };
}

async function* chunksOf(
  file: { read(p: Uint8Array): Promise<number | null> },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  while (!signal.aborted) {
    const chunk = new Uint8Array(65536);
    // A file that is closed while it is read fails; that is no error of the input.
    const reading = file.read(chunk).catch((error) => {
      if (signal.aborted) return null;
      throw error;
    });
    const read = await orAborted(reading, signal);
    if (read === null) return;
    yield chunk.subarray(0, read);
  }
}

/**
 * Deno's permission for a Unix socket names its exact path, which no task can know; FFmpeg, which may
 * be started anyhow, passes the bytes on.
 */
async function* fromSocket(process: FfmpegProcess, spec: string): AsyncGenerator<Uint8Array> {
  let hasRead = false;
  for await (const chunk of process.child.stdout) {
    hasRead = true;
    yield chunk;
  }
  const { success } = await process.end();
  if (!success && !hasRead) throw new InputError(unreachable(spec, process));
}

function unreachable(spec: string, process: FfmpegProcess): string {
  return `${spec}: the socket can't be used (${process.lastLine()}): somebody must listen on it`;
}

/**
 * Opens a sink.
 *
 * @param force A file that exists may be replaced.
 * @throws InputError
 */
export async function openSink(
  spec: string,
  force: boolean,
  ffmpeg: FfmpegFinder,
): Promise<ByteSink> {
  if (spec.startsWith(unix)) {
    const process = new FfmpegProcess(await ffmpeg(), [
      ...["-f", "data", "-i", "pipe:0", "-map", "0", "-c", "copy", "-flush_packets", "1"],
      ...["-f", "data", spec],
    ], { stdin: true });
    return toSocket(process, spec);
  }
  if (isStandardOutput(spec)) return fileSink("standard output", Deno.stdout);
  if (isStandardError(spec)) return fileSink("standard error", Deno.stderr);
  const stat = (path: string) =>
    ifThere(Deno.stat(path)).catch((error) => {
      throw openError(spec, "written", error);
    });
  const info = await stat(spec);
  if (info?.isDirectory) throw new InputError(`${spec}: is a folder: give a file name in it`);
  if (info?.isFile && !force) {
    throw new InputError(`${spec}: exists: add --force to replace it, or choose another output`);
  }
  if (info === null && !(await stat(dirname(spec)))?.isDirectory) {
    throw new InputError(`${spec}: there is no such folder: make it, or choose another output`);
  }
  const isFile = info === null || info.isFile;
  const make = isFile ? { create: true, truncate: true } : {};
  // Opened when there is something to write: bad input leaves nothing behind.
  let file: Deno.FsFile | null = null;
  const write = async (bytes: Uint8Array) => {
    file ??= await open(spec, { write: true, ...make });
    return await file.write(bytes);
  };
  const shorten = async (bytes: number) => {
    if (isFile) await file?.truncate(bytes);
  };
  return fileSink(spec, { write }, shorten, () => {
    file?.close();
    file = null;
  });
}

/**
 * After a write that fails it takes nothing more: what stands there is what was written whole.
 *
 * @param shorten Leaves the first `bytes` bytes, where that can be done.
 */
function fileSink(
  name: string,
  file: { write(p: Uint8Array): Promise<number> },
  shorten: (bytes: number) => Promise<void> = () => Promise.resolve(),
  close = () => {},
): ByteSink {
  let whole = 0;
  let isBroken = false;
  return {
    name,
    async write(bytes) {
      let first = NaN;
      if (isBroken) return first;
      try {
        for (let at = 0; at < bytes.length;) {
          at += await file.write(bytes.subarray(at));
          if (Number.isNaN(first)) first = performance.now();
        }
      } catch (error) {
        isBroken = true;
        await shorten(whole).catch(() => {});
        throw writeError(name, error);
      }
      whole += bytes.length;
      return first;
    },
    close: () => Promise.resolve(close()),
  };
}

function toSocket(process: FfmpegProcess, spec: string): ByteSink {
  const writer = process.child.stdin.getWriter();
  let hasWritten = false;
  const gone = async (): Promise<Error> => {
    await process.end();
    return hasWritten ? new ReaderGone(spec) : new InputError(unreachable(spec, process));
  };
  return {
    name: spec,
    async write(bytes) {
      try {
        await writer.write(bytes);
      } catch {
        throw await gone();
      }
      hasWritten = true;
      return performance.now();
    },
    async close() {
      await writer.close().catch(() => {});
      await process.end();
    },
  };
}

function writeError(name: string, error: unknown): unknown {
  if (error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset) {
    return new ReaderGone(name);
  }
  if (error instanceof InputError) return error;
  return outputError(name, error);
}

async function open(path: string, options: Deno.OpenOptions): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, options);
  } catch (error) {
    throw openError(path, options.read ? "read" : "written", error);
  }
}

function openError(path: string, what: "read" | "written", error: unknown): unknown {
  if (isExhausted(error)) return error;
  return new InputError(
    error instanceof Deno.errors.NotFound
      ? `${path}: there is no such file or folder: check its name`
      : `${path}: can't be ${what} (${osReason(error)}): choose another`,
  );
}
