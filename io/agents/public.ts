/** Parts that a practitioner would take: Whisper hears, Kokoro speaks. The card is seen as in the first
 * cascade, and the face is its, but still: its network moves it with its own voice only. */
import { createHash } from "node:crypto";
import type { ActivityDetector, Reader, Speaker } from "../../engine/cascade/parts.ts";
import type { Response, StreamShape } from "../../engine/checkpoint/unit.ts";
import { Resampler } from "../media/resample.ts";
import { soundRate } from "../score/activity.ts";
import { noTimes } from "./agent.ts";
import type { PublicParts } from "./public_child.ts";

/** Samples per second of Kokoro's voice. */
const voiceRate = 24000;

/** Seconds that are heard before the first window of speech, and at most. */
const [before, longest] = [0.5, 28];

/** A detector that keeps the sound of the utterance: from half a second before its first window of speech. */
export class Utterance implements ActivityDetector {
  readonly #detector: ActivityDetector;
  readonly #threshold: number;
  #sound: Float32Array[] = [];
  #hasBegun = false;

  /** @param threshold Score from which on a window is speech. */
  constructor(detector: ActivityDetector, threshold: number) {
    this.#detector = detector;
    this.#threshold = threshold;
  }

  async push(samples: Float32Array): Promise<Float32Array> {
    const scores = await this.#detector.push(samples);
    this.#sound.push(samples.slice());
    this.#hasBegun ||= scores.some((score) => score >= this.#threshold);
    const most = this.#hasBegun ? longest : before + samples.length / soundRate;
    const length = () => this.#sound.reduce((sum, { length }) => sum + length, 0);
    while (length() > most * soundRate) this.#sound.shift();
    return scores;
  }

  /** The utterance so far; empty where no speech was heard since the last one. */
  take(): Float32Array {
    const sound = this.#hasBegun ? Float32Array.from(this.#sound.flatMap((part) => [...part])) : [];
    this.#sound = [];
    this.#hasBegun = false;
    return Float32Array.from(sound);
  }

  async close(): Promise<void> {
    await this.#detector.close?.();
  }
}

/** Hears by Whisper what the detector kept, and sees cards by another reader. */
export function publicReader(
  parts: Pick<PublicParts, "hear">,
  utterance: Utterance,
  cards: Reader,
): Reader {
  return {
    // Who reads cards hears nothing: asked for a card, it would else write down what was said.
    push: ({ audio, frames }) =>
      cards.push({ audio: audio && new Float32Array(audio.length), frames }),
    async read() {
      const sound = utterance.take();
      return sound.length > 0 ? await parts.hear(sound) : [];
    },
    look: () => cards.look(),
    close: () => cards.close?.(),
  };
}

/** Samples in which a voice that is stopped fades, as the first cascade's. */
const fade = 40;

/**
 * Speaks with Kokoro's voice, which is made whole when its first unit is asked for and then handed out
 * unit by unit, under a still face. A word is in the text of the unit in which it begins; when that is,
 * is estimated: words are spread over the sound by their letters.
 */
export class PublicSpeaker implements Speaker {
  readonly #parts: Pick<PublicParts, "say">;
  readonly #shape: StreamShape;
  readonly #face: Uint8Array;
  #queue: string[] = [];
  #sound = new Float32Array(0);
  #at = 0;
  /** Words that aren't begun yet, and the samples at which they begin. */
  #due: { word: string; at: number }[] = [];
  #fading = new Float32Array(0);
  #unit = 0;

  /** @param face RGB24 frames of one unit. */
  constructor(parts: Pick<PublicParts, "say">, shape: StreamShape, face: Uint8Array) {
    this.#parts = parts;
    this.#shape = shape;
    this.#face = face;
  }

  say(words: readonly string[]): void {
    this.#queue.push(...words);
  }

  stop(): readonly string[] {
    const unsaid = [...this.#due.map(({ word }) => word), ...this.#queue];
    const next = this.#sound.subarray(this.#at, this.#at + fade);
    this.#fading = next.map((value, i) => value * (1 - i / (fade - 1)));
    this.#sound = new Float32Array(0);
    this.#at = 0;
    this.#due = [];
    this.#queue = [];
    return unsaid;
  }

  get isSpeaking(): boolean {
    return this.#queue.length > 0 || this.#at < this.#sound.length;
  }

  async next(): Promise<Response> {
    const { samples } = this.#shape;
    if (this.#at >= this.#sound.length && this.#queue.length > 0) await this.#make();
    const audio = new Float32Array(samples);
    audio.set(this.#sound.subarray(this.#at, this.#at + samples));
    this.#fading.forEach((value, i) => audio[i] = (audio[i] ?? 0) + value);
    this.#fading = new Float32Array(0);
    this.#at += samples;
    const begun = this.#due.filter(({ at }) => at < this.#at);
    this.#due = this.#due.slice(begun.length);
    return {
      unit: this.#unit++,
      text: begun.map(({ word }) => ` ${word}`).join(""),
      tokens: [],
      audio,
      frames: this.#face.slice(),
      digest: createHash("sha256").update(new Uint8Array(audio.buffer)).digest("hex"),
      historyTokens: 0,
      stages: { ...noTimes },
    };
  }

  async #make(): Promise<void> {
    const words = this.#queue.splice(0);
    const resampler = new Resampler(voiceRate, this.#shape.sampleRate);
    const made = await this.#parts.say(words);
    const parts = [resampler.push(made), resampler.flush()];
    this.#sound = Float32Array.from(parts.flatMap((part) => [...part]));
    this.#at = 0;
    const letters = words.map((word) => word.length);
    const all = letters.reduce((sum, count) => sum + count, 0);
    let told = 0;
    this.#due = words.map((word, i) => {
      const at = Math.floor((told / all) * this.#sound.length);
      told += letters[i] ?? 0;
      return { word, at };
    });
  }
}
