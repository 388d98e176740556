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
  async judge(sound: Float32Array, speech: readonly Speech[]): Promise<Judged> {
    const path = join(this.#folder, "side.wav");
    const wav = await WavWriter.create(path, soundRate);
    await wav.write(sound);
    await wav.close();
    const asked = { path, speech: speech.map(({ from, to }) => [from, to]) };
    const stdin = this.#child.stdin.getWriter();
    try {
      await stdin.write(new TextEncoder().encode(`${JSON.stringify(asked)}\n`));
    } finally {
      stdin.releaseLock();
    }
    const answer = await answerOf({ lines: this.#lines, said: this.#said });
    await Deno.remove(path);
    if (answer.has("error")) throw new RunError(`--judges: ${answer.get("error")}`);
    try {
      return judgedOf(answer);
    } catch (error) {
      // What a program of ours answers is no input of the user's.
      throw new RunError(errorText(error));
    }
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

function judgedOf(answer: Fields): Judged {
  const known = (key: "quality" | "constancy") =>
    answer.get(key) === null ? null : answer.number(key, [-1, 5]);
  const words = answer.get("words") === null ? null : answer.list("words", [0, 1e6]);
  return {
    words: words && words.map(wordOf),
    quality: known("quality"),
    constancy: known("constancy"),
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
