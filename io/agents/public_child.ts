/** Whisper's ears and Kokoro's voice, in a Python child process (scripts/judges/cascade.py). */
import { join } from "node:path";
import type { ProgramWork } from "../score/silero.ts";
import { judgesPython } from "../score/judges.ts";
import { ByteQueue } from "../system/byte_queue.ts";
import { RunError } from "../system/errors.ts";

/** What is asked of the child. */
const hear = 0, say = 1, work = 2, failed = 9;

/** The ears and the voice; asked one after the other. */
export class PublicParts implements AsyncDisposable {
  /** The parts with their versions. */
  readonly names: string;
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: ByteQueue;
  readonly #said: Promise<string>;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(child: Deno.ChildProcess, opened: Opened, names: string) {
    this.names = names;
    this.#child = child;
    this.#stdin = child.stdin.getWriter();
    this.#answers = opened.answers;
    this.#said = opened.said;
  }

  /**
   * Starts them, which takes seconds.
   *
   * @param judges The folder of cascade.py and its virtual environment.
   * @param voice One of Kokoro's.
   * @throws InputError when they aren't installed, RunError when they don't start.
   */
  static async open(judges: string, voice = "af_heart"): Promise<PublicParts> {
    const python = await judgesPython(judges, "cascade:public: its parts aren't");
    const child = new Deno.Command(python, {
      args: [join(judges, "cascade.py"), voice],
      ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
    }).spawn();
    const said = new Response(child.stderr).text();
    const opened = { answers: new ByteQueue(child.stdout), said };
    try {
      const { bytes } = await answerOf(opened);
      return new PublicParts(child, opened, new TextDecoder().decode(bytes));
    } catch (error) {
      await child.stdin.close().catch(() => {});
      await child.status;
      throw error;
    }
  }

  /** What the child has worked, and holds. @throws RunError */
  async work(): Promise<ProgramWork> {
    const told = await this.#ask(work, new Uint8Array());
    const [seconds = 0, bytes = 0] = new Float64Array(told.buffer);
    return { seconds, bytes };
  }

  /** The words of a sound. @param sound Mono samples at 16 kHz. @throws RunError */
  async hear(sound: Float32Array): Promise<string[]> {
    const { buffer, byteOffset, byteLength } = sound;
    const heard = await this.#ask(hear, new Uint8Array(buffer, byteOffset, byteLength));
    return new TextDecoder().decode(heard).split(/\s+/).filter((word) => word !== "");
  }

  /** Words as sound: mono samples at 24 kHz, without silence around them. @throws RunError */
  async say(words: readonly string[]): Promise<Float32Array> {
    const sound = await this.#ask(say, new TextEncoder().encode(words.join(" ")));
    return new Float32Array(sound.buffer);
  }

  #ask(what: number, bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    const asked = this.#last.then(async () => {
      // What breaks the pipe shows in what is read.
      const head = new Uint8Array(Uint32Array.of(what, bytes.length).buffer);
      for (const part of [head, bytes]) this.#stdin.write(part).catch(() => {});
      const answer = await answerOf({ answers: this.#answers, said: this.#said });
      if (answer.what === what) return answer.bytes;
      throw new RunError(`cascade:public: ${new TextDecoder().decode(answer.bytes)}`);
    });
    this.#last = asked.catch(() => {});
    return asked;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stdin.close().catch(() => {});
    await this.#child.status;
    await this.#said;
  }
}

interface Opened {
  answers: ByteQueue;
  said: Promise<string>;
}

/** The next message. @throws RunError with the child's last words when it has ended. */
async function answerOf({ answers, said }: Opened) {
  const head = new Uint32Array((await exactly(8)).buffer);
  const [what = failed, length = 0] = head;
  return { what, bytes: await exactly(length) };

  async function exactly(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    for (let held = 0; held < length;) {
      if (answers.size === 0) {
        if (answers.ended) {
          const why = (await said).trimEnd().split("\n").at(-1) || "no reason";
          throw new RunError(
            `cascade:public: its parts ended (${why}): run 'deno task setup --judges'`,
          );
        }
        await answers.read();
      }
      held += answers.take(bytes.subarray(held));
    }
    return bytes;
  }
}
