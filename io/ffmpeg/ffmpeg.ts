/** Finds FFmpeg and runs it: no shell, no terminal, its messages drained and kept. */
import { InputError } from "../../engine/config/errors.ts";
import { isExhausted, RunError } from "../system/errors.ts";

/** An FFmpeg that was found and answers. */
export interface Ffmpeg {
  /** Program name or path. */
  path: string;
  /** E.g. "5.1.9". */
  version: string;
}

/**
 * The FFmpeg to use: `asked` (--ffmpeg), else FFMPEG_BIN, else ffmpeg-static's file if it is there,
 * else `ffmpeg` on PATH.
 *
 * @throws InputError when the one that was named doesn't run, or none is found.
 */
export async function findFfmpeg(asked?: string): Promise<Ffmpeg> {
  const named = asked !== undefined
    ? { from: "--ffmpeg", path: asked }
    : { from: "FFMPEG_BIN", path: env("FFMPEG_BIN") };
  if (named.path) {
    const version = await versionOf(named.path);
    if (version !== null) return { path: named.path, version };
    throw new InputError(
      `${named.from}: '${named.path}' is no FFmpeg that runs here: give its path`,
    );
  }
  for (const path of [await staticPath(), "ffmpeg"]) {
    const version = path === null ? null : await versionOf(path);
    if (path !== null && version !== null) return { path, version };
  }
  throw new InputError(
    "no FFmpeg was found (--ffmpeg, FFMPEG_BIN, npm's ffmpeg-static, PATH): install it, e.g. " +
      "'apt install ffmpeg', or put FFMPEG_BIN=PATH before the command; WAV, and Y4M of the model's size and rate, work without it",
  );
}

/** Finds FFmpeg when it is first needed. */
export type FfmpegFinder = () => Promise<Ffmpeg>;

/** A finder that looks once. @param asked As for `findFfmpeg`. */
export function ffmpegFinder(asked: string | undefined): FfmpegFinder {
  let found: Promise<Ffmpeg> | null = null;
  return () => found ??= findFfmpeg(asked);
}

function env(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

/** Where ffmpeg-static keeps its binary, or null: its download may have failed or never been tried. */
async function staticPath(): Promise<string | null> {
  // In a template, so that Deno doesn't fetch the package before anyone needs FFmpeg.
  const name = "ffmpeg-static@5.3.0";
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("the package registry doesn't answer")), 5000);
    });
    const module: { default: unknown } = await Promise.race([import(`npm:/${name}`), late]);
    const path = module.default;
    return typeof path === "string" && (await Deno.stat(path)).isFile ? path : null;
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

async function versionOf(path: string): Promise<string | null> {
  try {
    const { success, stdout } = await new Deno.Command(path, {
      args: ["-version"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).output();
    const text = new TextDecoder().decode(stdout.subarray(0, 4096));
    return success ? /^ffmpeg version (\S+)/.exec(text)?.[1] ?? null : null;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw permission(path);
    if (isExhausted(error)) throw error;
    return null;
  }
}

function permission(path: string): InputError {
  return new InputError(
    `FFmpeg ('${path}') may not be started: put FFMPEG_BIN='${path}' before the command, which a task ` +
      `reads, or run with Deno's --allow-run=${path}`,
  );
}

const listed = new Map<string, Promise<Set<string>>>();

/** What `ffmpeg -encoders`, `-decoders` or `-filters` lists; it is asked once. */
export function ffmpegNames(
  ffmpeg: Ffmpeg,
  list: "decoders" | "encoders" | "filters",
): Promise<Set<string>> {
  const key = JSON.stringify([ffmpeg.path, list]);
  const names = listed.get(key) ?? listNames(ffmpeg, list);
  listed.set(key, names);
  // A start that the system refused says nothing of the next one.
  names.catch(() => listed.delete(key));
  return names;
}

async function listNames(ffmpeg: Ffmpeg, list: string): Promise<Set<string>> {
  const { stdout, signal } = await new Deno.Command(ffmpeg.path, {
    args: ["-hide_banner", "-loglevel", "error", `-${list}`],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).output();
  checkSignal(`-${list}`, signal);
  const rows = new TextDecoder().decode(stdout).matchAll(/^ [A-Z.]{2,6} +(\S+)/gm);
  return new Set([...rows].map((row) => row[1] ?? ""));
}

/**
 * Tells an FFmpeg that was ended from outside, by another program or by the system where memory is short,
 * from one that fails by what it reads.
 *
 * @param name What it read, for the message.
 * @throws RunError
 */
export function checkSignal(name: string, signal: Deno.Signal | null): void {
  if (signal !== "SIGKILL" && signal !== "SIGTERM") return;
  throw new RunError(
    `${name}: FFmpeg: ended by ${signal}, by another program or because memory was short: try again`,
  );
}

/** How to start an {@linkcode FfmpegProcess}. */
export interface FfmpegOptions {
  stdin?: boolean;
  stdout?: boolean;
  /** Folder it works in, so that filters can name files plainly. */
  cwd?: string;
  /** What it prints: "warning" by default; "info" lists the input's streams. */
  loglevel?: "info" | "warning";
  /** Called with each line that it prints. */
  said?: (line: string) => void;
}

/** A running FFmpeg. */
export class FfmpegProcess {
  readonly child: Deno.ChildProcess;
  /** Its last messages, `[context] [level] text`, control characters left out. */
  readonly lines: string[] = [];
  readonly #drained: Promise<void>;
  readonly #keep: number;
  readonly #said: FfmpegOptions["said"];

  /** @throws InputError when it may not or can't be started. */
  constructor(ffmpeg: Ffmpeg, args: string[], options: FfmpegOptions = {}) {
    const { stdin = false, stdout = false, cwd, loglevel = "warning" } = options;
    this.#said = options.said;
    this.#keep = loglevel === "info" ? 4000 : 40;
    try {
      this.child = new Deno.Command(ffmpeg.path, {
        args: ["-hide_banner", "-nostdin", "-nostats", "-loglevel", `level+${loglevel}`, ...args],
        stdin: stdin ? "piped" : "null",
        stdout: stdout ? "piped" : "null",
        stderr: "piped",
        // A process group of its own: Ctrl-C is for this program, which then ends FFmpeg in order.
        detached: true,
        ...(cwd === undefined ? {} : { cwd }),
      }).spawn();
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw permission(ffmpeg.path);
      if (error instanceof Deno.errors.NotFound) {
        throw new InputError(`FFmpeg ('${ffmpeg.path}') can't be started: ${error.message}`);
      }
      throw error;
    }
    this.#drained = this.#drain();
  }

  async #drain(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.child.stderr) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split(/[\r\n]+/);
      rest = (parts.pop() ?? "").slice(-4096);
      for (const line of parts) this.#add(line);
    }
    this.#add(rest);
  }

  #add(line: string): void {
    const clean = line.slice(0, 1000).replace(/\p{Cc}/gu, " ").trimEnd();
    if (clean === "") return;
    this.#said?.(clean);
    this.lines.push(clean);
    if (this.lines.length > this.#keep) this.lines.shift();
  }

  /** Waits for its end; then `lines` is complete. */
  async end(): Promise<Deno.CommandStatus> {
    const [status] = await Promise.all([this.child.status, this.#drained]);
    return status;
  }

  /** Waits for its end. @returns Whether its file is whole; FFmpeg 5 leaves with 0 where the end of it
   * could not be written. */
  async wrote(): Promise<boolean> {
    const { success } = await this.end();
    return success && !this.lines.some((line) => /Error (writing trailer|closing file)/.test(line));
  }

  /** Ends it at once, whatever it is doing, and waits until it is gone. */
  async kill(): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.end();
  }

  /** The last error it printed that says something (else its last line), without its prefixes. */
  lastLine(): string {
    const errors = this.lines.filter((line) =>
      /\[(error|fatal|panic)\] (?!Conversion failed|Error (initializing|opening) (in|out)put)/.test(
        line,
      )
    );
    const line = errors.at(-1) ?? this.lines.at(-1) ?? "it printed nothing";
    return line.replace(/^(\[[^\]]*\] )+/, "");
  }
}
