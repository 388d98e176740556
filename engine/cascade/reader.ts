/** Reading with a checkpoint that was taught to write down what it hears and sees. */
import type { Observation } from "../checkpoint/unit.ts";
import type { Model } from "../session/model.ts";
import type { WorkerSession } from "../session/session.ts";
import type { Reader } from "./parts.ts";

/** The most that is read at once, in units of one word. */
const mostWords = 12;

/** A session as reader and speaker use it. */
export type Stepper = Pick<WorkerSession, "step" | "layout" | "close">;

/**
 * A reader on a session: it takes every unit as it comes. When it is asked, units outside stream time
 * follow, with silence and the last picture; in the first of them a word is typed, `read` for the
 * utterance and `card` for the card. The model writes one word a unit, from that unit on, then the
 * filler.
 */
export class ModelReader implements Reader {
  readonly #session: Stepper;
  #frames: Uint8Array | null = null;

  constructor(session: Stepper) {
    this.#session = session;
  }

  async push({ audio, frames }: Observation): Promise<void> {
    this.#frames = frames ?? this.#frames;
    await this.#session.step({ audio, frames });
  }

  async read(): Promise<string[]> {
    return await this.#ask("read");
  }

  async look(): Promise<string[]> {
    return await this.#ask("card");
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  async #ask(command: string): Promise<string[]> {
    const audio = new Float32Array(this.#session.layout.user.samples);
    const words: string[] = [];
    for (let i = 0; i < mostWords; i++) {
      const observation = { audio, frames: this.#frames };
      const { text } = await this.#session.step(
        i === 0 ? { ...observation, text: command } : observation,
      );
      if (text.trim() === "") break;
      words.push(...text.trim().split(/\s+/));
    }
    return words;
  }
}

/** Opens a reader. Voice and picture of its session are of no use, so its solver takes one step without
 * guidance, and nothing is decoded.
 *
 * @throws What `Model.openSession` throws. */
export async function openReader(model: Model, seed = 0): Promise<Reader> {
  const solver = { name: "euler", steps: 1, guidance: 1 } as const;
  return new ModelReader(
    await model.openSession(
      { seed, solver, schedule: "eager" },
      { textOnly: true },
    ),
  );
}
