/** Judges outside of this program: words, quality and voice of a side, by a child process that reads and
 * writes JSON lines (scripts/judges). */
import { join } from "node:path";
import { Fields } from "../../engine/config/config_fields.ts";
import { errorText } from "../../engine/config/error_text.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { SpokenWord } from "../layouts/layout.ts";
import { WavWriter } from "../media/wav.ts";
import { ifThere, RunError } from "../system/errors.ts";
import { soundRate, type Speech } from "./activity.ts";
import type { Judged } from "./score.ts";

/** Judges by name. */
export const judgeNames = ["words", "quality", "voice"] as const;

/** Reads `--judges`: names with commas, or all. @throws InputError */
export function parseJudges(text: string): string[] {
  if (text === "all") return [...judgeNames];
  const names = [...new Set(text.split(","))];
  const wrong = names.find((name) => !judgeNames.some((known) => known === name));
  if (wrong === undefined) return names;
  throw new InputError(`--judges: '${wrong}' is none of ${judgeNames.join(", ")}, all`);
}

/** Python with the judges' packages. @param who isn't installed, where it isn't. @throws InputError */
export async function judgesPython(scripts: string, who: string): Promise<string> {
  const windows = Deno.build.os === "windows";
  const python = join(scripts, ".venv", windows ? "Scripts/python.exe" : "bin/python");
  if (await ifThere(Deno.stat(python)) !== null) return python;
  throw new InputError(`${who} installed: run 'deno task setup --judges'`);
}

/** What else may be asked of a side. */
export interface AskedMore {
  /** Parts of the sound whose text is wanted, one by one; in place of all words with their times. */
  utterances?: readonly Speech[];
  /** Voices of which the side's is one, as many samples of each in a row, mono at 16 kHz. */
  candidates?: { sound: Float32Array; among: number };
}

/** And what is answered. */
export interface JudgedMore extends Judged {
  /** The text of each utterance. */
  heard?: string[];
  /** The candidate whose voice is most like the side's, from 0; missing: it speaks for less than 3 s. */
  nearest?: number;
}

/** A running child that judges one side after the other. */
export class Judges implements AsyncDisposable {
  /** What each judge is, with its version. */
  readonly names: Record<string, string>;
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #folder: string;
  readonly #said: Promise<string>;

  private constructor(child: Running, names: Record<string, string>, folder: string) {
    this.names = names;
    this.#child = child.process;
    this.#lines = child.lines;
    this.#said = child.said;
    this.#folder = folder;
  }

  /**
   * Starts the judges.
   *
   * @param scripts The folder of judge.py and its virtual environment.
   * @throws InputError when they aren't installed, RunError when they don't start.
   */
  static async open(scripts: string, wanted: readonly string[]): Promise<Judges> {
    const python = await judgesPython(scripts, "--judges: they aren't");
    const process = new Deno.Command(python, {
      args: [join(scripts, "judge.py"), wanted.join(",")],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const lines = process.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(lineByLine());
    const said = new Response(process.stderr).text();
    const child = { process, lines: lines.getReader(), said };
    const head = await answerOf(child);
    const names = Object.fromEntries(wanted.map((name) => [name, `${head.get(name)}`]));
    return new Judges(child, names, await Deno.makeTempDir({ prefix: "wanstream-" }));
  }

  /**
   * Judges a side.
   *
   * @param sound Mono samples at 16 kHz. @throws RunError when a judge fails.
   */
  async judge(
    sound: Float32Array,
    speech: readonly Speech[],
    { utterances, candidates }: AskedMore = {},
  ): Promise<JudgedMore> {
    const path = await this.#written("side.wav", sound);
    const others = candidates && await this.#written("candidates.wav", candidates.sound);
    const pairs = (parts: readonly Speech[]) => parts.map(({ from, to }) => [from, to]);
    const asked = {
      ...{ path, speech: pairs(speech) },
      ...(utterances ? { utterances: pairs(utterances) } : {}),
      ...(candidates ? { candidates: others, among: candidates.among } : {}),
    };
    const stdin = this.#child.stdin.getWriter();
    try {
      await stdin.write(new TextEncoder().encode(`${JSON.stringify(asked)}\n`));
    } finally {
      stdin.releaseLock();
    }
    const answer = await answerOf({ lines: this.#lines, said: this.#said });
    await Promise.all([path, ...(others ? [others] : [])].map((one) => Deno.remove(one)));
    if (answer.has("error")) throw new RunError(`--judges: ${answer.get("error")}`);
    try {
      return judgedOf(answer);
    } catch (error) {
      // What a program of ours answers is no input of the user's.
      throw new RunError(errorText(error));
    }
  }

  async #written(name: string, sound: Float32Array): Promise<string> {
    const path = join(this.#folder, name);
    const wav = await WavWriter.create(path, soundRate);
    await wav.write(sound);
    await wav.close();
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close().catch(() => {});
    await this.#lines.cancel();
    await this.#child.status;
    await this.#said;
    await Deno.remove(this.#folder, { recursive: true });
  }
}

interface Running {
  process: Deno.ChildProcess;
  lines: ReadableStreamDefaultReader<string>;
  said: Promise<string>;
}

/** The next line. @throws RunError with the child's last words when it has ended. */
async function answerOf({ lines, said }: Omit<Running, "process">): Promise<Fields> {
  const { value } = await lines.read();
  if (value !== undefined) return new Fields(JSON.parse(value), "--judges");
  const why = (await said).trimEnd().split("\n").at(-1) || "no reason";
  throw new RunError(`--judges: they ended (${why}): run 'deno task setup --judges'`);
}

function judgedOf(answer: Fields): JudgedMore {
  const known = (key: "quality" | "constancy") =>
    answer.get(key) === null ? null : answer.number(key, [-1, 5]);
  const words = answer.get("words") === null ? null : answer.list("words", [0, 1e6]);
  return {
    words: words && words.map(wordOf),
    quality: known("quality"),
    constancy: known("constancy"),
    ...(answer.has("heard")
      ? { heard: answer.list("heard", [0, 1e6]).map((text) => `${text}`) }
      : {}),
    ...(answer.has("nearest") ? { nearest: answer.whole("nearest", [0, 1e6]) } : {}),
  };
}

function wordOf(value: unknown): SpokenWord {
  const word = new Fields(value, "--judges");
  const seconds = (key: string) => word.number(key, [0, 1e6]);
  return { text: `${word.get("text")}`, from: seconds("from"), to: seconds("to") };
}

function lineByLine(): TransformStream<string, string> {
  let rest = "";
  return new TransformStream({
    transform(chunk, controller) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) controller.enqueue(line);
    },
  });
}
