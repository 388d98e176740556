/** Speaking with a checkpoint that was taught to say what is typed. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Response } from "../checkpoint/unit.ts";
import type { SolverConfig } from "../config/solver.ts";
import type { Model } from "../session/model.ts";
import type { Speaker } from "./parts.ts";
import type { Stepper } from "./reader.ts";

/** Samples in which a voice that is stopped fades. */
const fade = 40;
/** Root mean square of a unit from which on a voice sounds in it. */
const active = 0.01;
/** Units without a word after which no more are waited for. */
const patience = 4;

/**
 * A speaker on a session that hears silence and sees black. Words are typed, one a unit, from the unit
 * on in which `say` was called; the model says them one at a time, and its agent text tells which. `stop`
 * types `stop`; what the model does until its next word is not heard.
 */
export class ModelSpeaker implements Speaker {
  readonly #session: Stepper;
  readonly #filler: number;
  readonly #audio: Float32Array;
  readonly #frames: Uint8Array;
  /** Words that are still to be typed, and those that are not begun. */
  #queue: string[] = [];
  #due: string[] = [];
  /** Units since the last word began or went on. */
  #idle = Infinity;
  /** The voice sounds in the newest unit. */
  #sounds = false;
  #isStopping = false;
  /** `fading`: until the next unit; `silent`: until a word that was typed since begins. */
  #mute: "no" | "fading" | "silent" = "no";
  #hasTyped = false;

  /** @param filler Id of the token for 'nothing to say now'. */
  constructor(session: Stepper, filler: number) {
    this.#session = session;
    this.#filler = filler;
    const { samples, frames, width, height } = session.layout.user;
    this.#audio = new Float32Array(samples);
    this.#frames = new Uint8Array(frames * width * height * 3);
  }

  say(words: readonly string[]): void {
    if (words.length === 0) return;
    this.#queue.push(...words);
    this.#due.push(...words);
    this.#idle = 0;
  }

  stop(): readonly string[] {
    if (!this.isSpeaking) return [];
    const unsaid = this.#due;
    this.#queue = [];
    this.#due = [];
    this.#idle = Infinity;
    this.#isStopping = true;
    this.#hasTyped = false;
    if (this.#mute !== "silent") this.#mute = this.#sounds ? "fading" : "silent";
    return unsaid;
  }

  get isSpeaking(): boolean {
    if (this.#queue.length > 0 || this.#idle === 0) return true;
    return this.#idle < patience && (this.#due.length > 0 || this.#sounds);
  }

  async next(): Promise<Response> {
    const text = this.#isStopping ? "stop" : this.#queue.shift();
    if (text !== undefined && !this.#isStopping) this.#hasTyped = true;
    this.#isStopping = false;
    const observation = { audio: this.#audio, frames: this.#frames };
    const response = await this.#session.step(text ? { ...observation, text } : observation);
    const hasWord = response.text.trim() !== "";
    if (hasWord && this.#hasTyped) this.#mute = "no";
    const isHeard = this.#mute === "no";
    if (isHeard && hasWord) this.#due.shift();
    const goesOn = isHeard && response.tokens.some((token) => token !== this.#filler);
    this.#idle = goesOn ? 0 : this.#idle + 1;
    if (this.#idle >= patience && this.#queue.length === 0) this.#due = [];
    this.#sounds = isHeard && level(response.audio) >= active;
    return isHeard ? response : this.#silenced(response);
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  /** A unit that isn't heard. */
  #silenced(response: Response): Response {
    const audio = new Float32Array(response.audio.length);
    if (this.#mute === "fading") {
      for (let i = 0; i < fade; i++) audio[i] = (response.audio[i] ?? 0) * (1 - i / (fade - 1));
    }
    this.#mute = "silent";
    const tokens = response.tokens.map(() => this.#filler);
    return { ...response, audio, text: "", tokens };
  }
}

/** Root mean square. */
function level(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / samples.length);
}

/**
 * Opens a speaker on a model of this checkpoint.
 *
 * @param options Seed and solver as a session's; by default 0 and the checkpoint's.
 * @throws What `Model.openSession` throws.
 */
export async function openSpeaker(
  model: Model,
  { config }: Pick<Checkpoint, "config">,
  options: { seed?: number; solver?: Partial<SolverConfig> } = {},
): Promise<Speaker> {
  const session = await model.openSession({ ...options, schedule: "eager" });
  return new ModelSpeaker(session, config.filler_token_id);
}
