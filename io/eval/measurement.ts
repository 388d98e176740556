/** Measures a recording while it runs, unit by unit: no picture and no sound is kept. */
import type { Media } from "../../engine/model/unit_coders.ts";
import { round } from "../pace/statistics.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { isActive, rms } from "../pace/activity.ts";
import type { Conduct } from "./measures/conduct.ts";
import { judgeInitiative, judgePrompt } from "./measures/initiative.ts";
import { judgeInterruptions, judgeSelectivity } from "./measures/interruptions.ts";
import { Faces } from "./measures/faces.ts";
import { type LipSeries, mouthOpening } from "./measures/lips.ts";
import { LogMel } from "./measures/logmel.ts";
import type { Outcome } from "./measures/outcomes.ts";
import { addFeatures, type Moments, noMoments, pictureFeatures } from "./measures/picture.ts";
import { judgeQuestions } from "./measures/questions.ts";
import {
  flags,
  type Pictures,
  type RecordingResult,
  type Span,
  spanUnits,
} from "./figures/recording_result.ts";
import { judgeRestraint } from "./measures/restraint.ts";
import type { Truth, TruthCharacter } from "./measures/truth.ts";
import { wordDistances } from "./measures/voice.ts";
import { type Word, wordsOf } from "./measures/words.ts";

/** What a unit is measured on: the agent's text, voice and picture; what the truth has; and what
 * the codecs make of the truth. */
export interface MeasuredUnit {
  text: string;
  /** Milliseconds of the solver. */
  solveMs: number;
  agent: Media;
  truth: Media | null;
  floor: Media | null;
}

/** A result before it is known what it rests on. */
export type Measured = Omit<RecordingResult, "noiseSeed" | "basis">;

export class Measurement {
  private readonly name: string;
  private readonly truth: Truth;
  private readonly shape: StreamShape;
  readonly #agent: Stream;
  readonly #truth: Stream;
  readonly #floor: Stream;
  readonly #texts: string[] = [];
  readonly #solveMs: number[] = [];

  constructor(
    name: string,
    truth: Truth,
    shape: StreamShape,
  ) {
    this.name = name;
    this.truth = truth;
    this.shape = shape;
    const stream = () => new Stream(truth.units, shape, truth.swap === null, truth.character);
    [this.#agent, this.#truth, this.#floor] = [stream(), stream(), stream()];
  }

  add({ text, solveMs, agent, truth, floor }: MeasuredUnit): void {
    this.#texts.push(text);
    this.#solveMs.push(round(solveMs, 2));
    this.#agent.add(agent);
    if (truth) this.#truth.add(truth);
    if (floor) this.#floor.add(floor);
  }

  /** Units so far. */
  get units(): number {
    return this.#texts.length;
  }

  /** What came out, after the last unit. */
  finish(wallSeconds: number): Measured {
    const { truth, shape } = this;
    const words = wordsOf(this.#texts);
    const active = this.#agent.active;
    // Without the oracle's voice its record must do.
    const hasVoice = this.#truth.rms.length > 0;
    const truthActive = hasVoice ? this.#truth.active : truth.timeline.map(({ agent }) => agent);
    const conduct = { truth, active, truthActive, words };
    const outcomes = truth.swap
      ? judgeQuestions(conduct).filter(({ measure }) => measure === "right")
      : [
        ...judgeAll(conduct, shape.unitMs),
        ...this.#voices(words, truthActive),
        ...this.#looks(),
      ];
    const pictures = (span: Span): Pictures | null => {
      const agent = this.#agent.pictures.get(span);
      const [part, floor] = [this.#truth.pictures.get(span), this.#floor.pictures.get(span)];
      const some = (moments: Moments | undefined) => moments?.count ? moments : null;
      return agent ? { agent, truth: some(part), floor: some(floor) } : null;
    };
    return {
      type: "recording",
      name: this.name,
      seed: truth.seed,
      swap: truth.swap,
      units: this.units,
      wallSeconds: round(wallSeconds, 2),
      outcomes: outcomes.map((one) => ({
        ...{ kind: null, said: null, wanted: null, truthUnit: null },
        ...one,
      })),
      words: words.map(({ word, unit }) => [unit, word]),
      solveMs: this.#solveMs,
      active: flags(active),
      truthActive: flags(truthActive),
      rms: this.#agent.rms.map((value) => round(value, 5)),
      lips: {
        agent: this.#agent.lips,
        truth: this.#truth.lips,
        floor: this.#floor.lips,
      },
      pictures: { all: pictures("all"), first: pictures("first"), last: pictures("last") },
    };
  }

  /** Of a character whose picture was given. */
  #looks(): Outcome[] {
    const { faces } = this.#agent;
    if (!faces || !this.truth.character?.given) return [];
    const unit = Math.max(0, this.units - 1);
    const drift = (measure: Outcome["measure"], value: number | null | undefined): Outcome[] =>
      value == null ? [] : [{ measure, unit, value: round(value, 4) }];
    return [
      ...faces.followed(this.shape.unitMs),
      ...drift("face drift", faces.drift),
      ...drift("face drift truth", this.#truth.faces?.drift),
    ];
  }

  #voices(words: Word[], active: readonly boolean[]): Outcome[] {
    const trueWords = this.truth.timeline.flatMap(({ word }, unit) =>
      word === null ? [] : [{ word: word.toLowerCase(), unit }]
    );
    const truth = { mel: this.#truth.mel, active, words: trueWords };
    const agent = { mel: this.#agent.mel, active: this.#agent.active, words };
    const floor = { mel: this.#floor.mel, active: this.#floor.active, words: trueWords };
    return [
      ...(truth.mel.length > 0 ? wordDistances(agent, truth, "word distance") : []),
      ...(floor.mel.length > 0 ? wordDistances(floor, truth, "word distance floor") : []),
    ];
  }
}

/** Everything that is judged of a conversation. */
export function judgeAll(conduct: Conduct, unitMs: number): Outcome[] {
  const questions = judgeQuestions(conduct);
  return [
    ...questions,
    ...judgePrompt(conduct, questions),
    ...judgeInterruptions(conduct, questions),
    ...judgeSelectivity(conduct),
    ...judgeRestraint(conduct, unitMs),
    ...judgeInitiative(conduct),
  ];
}

/** One voice and its pictures: a few numbers per frame. */
class Stream {
  private readonly shape: StreamShape;
  private readonly closely: boolean;
  private readonly character: TruthCharacter | undefined;
  /** Null: the record tells of no character. */
  readonly faces: Faces | null;
  readonly rms: number[] = [];
  readonly mel: Float32Array[] = [];
  readonly pictures = new Map<Span, Moments>();
  readonly #opening: number[] = [];
  readonly #loudness: number[] = [];
  readonly #logmel: LogMel;
  readonly #spans: [Span, from: number, to: number][] = [];

  /** @param closely Pictures and spectra are measured too; of swapped recordings words are enough. */
  constructor(
    units: number,
    shape: StreamShape,
    closely: boolean,
    character: TruthCharacter | undefined,
  ) {
    const { width, height, frames, unitMs } = shape;
    this.shape = shape;
    this.closely = closely;
    this.character = character;
    this.faces = character ? new Faces(character, width, height, (frames * 1000) / unitMs) : null;
    this.#logmel = new LogMel(shape.sampleRate);
    if (!closely) return;
    for (const span of ["all", "first", "last"] as const) {
      const range = spanUnits(span, units, shape.unitMs);
      if (!range) continue;
      this.#spans.push([span, ...range]);
      this.pictures.set(span, noMoments());
    }
  }

  get active(): boolean[] {
    return this.rms.map(isActive);
  }

  /** Null when nothing was added. */
  get lips(): LipSeries | null {
    if (this.#opening.length === 0) return null;
    return { opening: this.#opening, loudness: this.#loudness };
  }

  add({ audio, frames }: Media): void {
    const { width, height, frames: count } = this.shape;
    const unit = this.rms.length;
    this.rms.push(rms(audio));
    if (!this.closely) return;
    this.mel.push(this.#logmel.push(audio));
    const size = width * height * 3;
    for (let i = 0; i < count; i++) {
      const frame = frames.subarray(i * size, (i + 1) * size);
      const span = audio.length / count;
      this.#opening.push(round(mouthOpening(frame, width, height, this.character), 4));
      this.#loudness.push(round(rms(audio, Math.round(i * span), Math.round((i + 1) * span)), 4));
      this.faces?.add(frame);
      const features = pictureFeatures(frame, width, height);
      for (const [name, from, to] of this.#spans) {
        const moments = this.pictures.get(name);
        if (moments && unit >= from && unit < to) addFeatures(moments, features);
      }
    }
  }
}
