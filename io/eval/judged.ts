/** What judges outside of this program hear in the agent's voice (scripts/judges); docs/eval.md has the
 * definitions. */
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { Resampler } from "../media/resample.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { defaultTracks } from "../media/tracks.ts";
import { soundRate, type Speech } from "../score/activity.ts";
import type { AskedMore, JudgedMore } from "../score/judges.ts";
import { listen } from "../score/listen.ts";
import { concatSamples } from "../system/bytes.ts";
import { unflag } from "./figures/recording_result.ts";
import type { Measured, MeasuredUnit } from "./measurement.ts";
import type { Outcome } from "./measures/outcomes.ts";
import type { Truth } from "./measures/truth.ts";
import { answerGap, type Word, wordsOf } from "./measures/words.ts";
import type { Recording } from "./recordings.ts";

/** Judges a voice; `Judges.judge`, or a test's own. */
export type Judge = (
  sound: Float32Array,
  speech: readonly Speech[],
  more: AskedMore,
) => Promise<JudgedMore>;

/** A voice as judges take it: mono at 16 kHz. */
class Voice {
  readonly #resampler: Resampler;
  readonly #parts: Float32Array[] = [];

  constructor({ sampleRate }: StreamShape) {
    this.#resampler = new Resampler(sampleRate, soundRate);
  }

  add(audio: Float32Array): void {
    // A session may use its memory again.
    this.#parts.push(this.#resampler.push(audio).slice());
  }

  /** Null when nothing was added. */
  get sound(): Float32Array | null {
    return this.#parts.length === 0 ? null : concatSamples(this.#parts);
  }
}

/** Keeps what is heard of a recording: the agent, the oracle, the oracle after the checkpoint's codec. */
export class Heard {
  readonly agent: Voice;
  readonly truth: Voice;
  readonly floor: Voice;

  constructor(shape: StreamShape) {
    [this.agent, this.truth, this.floor] = [new Voice(shape), new Voice(shape), new Voice(shape)];
  }

  add({ agent, truth, floor }: MeasuredUnit): void {
    this.agent.add(agent.audio);
    if (truth) this.truth.add(truth.audio);
    if (floor) this.floor.add(floor.audio);
  }
}

/** What is said in one go, and the units in which it sounds: from its first word's on. */
export interface Utterance {
  words: string[];
  from: number;
  to: number;
}

/** Units that a word lasts at the most. */
const longestWord = 4;

/** A nod that sounds: recognizers write it down as they like, or not. */
const isNod = (word: string) => /^[hm]+$/.test(word);

/** Utterances of more than a nod. @param active Where the voice sounds, unit by unit. */
export function utterancesOf(words: readonly Word[], active: readonly boolean[]): Utterance[] {
  const all: Utterance[] = [];
  let last: number | null = null;
  for (const { word, unit } of words.filter(({ word }) => !isNod(word))) {
    const current = all.at(-1);
    if (current && last !== null && unit - last <= answerGap) current.words.push(word);
    else all.push({ words: [word], from: unit, to: unit + 1 });
    last = unit;
    const utterance = all.at(-1);
    if (utterance) utterance.to = unit + 1;
  }
  return all.map((one, i) => {
    const end = Math.min(one.to + longestWord - 1, all[i + 1]?.from ?? active.length);
    let { to } = one;
    while (to < end && active[to]) to++;
    return { ...one, to };
  });
}

/** Words as recognizers spell them, and as they are written here. */
const spellings: Record<string, string> = {
  ...{ "1": "one", "2": "two", "3": "three", "4": "four" },
  ...{ color: "colour", "it's": "it is", "there's": "there is", "what's": "what is" },
};

/** A text's words, spelt as the agent's are. */
export function heardWords(text: string): string[] {
  return wordsOf([text.replaceAll("’", "'")]).flatMap(({ word }) =>
    (Object.hasOwn(spellings, word) ? spellings[word] ?? word : word).split(" ")
  ).filter((word) => !isNod(word));
}

/** Words to put in, leave out or replace so that `heard` becomes `said` (Levenshtein). */
export function wordErrors(said: readonly string[], heard: readonly string[]): number {
  let row = heard.map((_, j) => j + 1);
  said.forEach((word, i) => {
    let [diagonal, left] = [i, i + 1];
    row = row.map((above, j) => {
      left = Math.min(above + 1, left + 1, diagonal + (heard[j] === word ? 0 : 1));
      diagonal = above;
      return left;
    });
  });
  return row.at(-1) ?? said.length;
}

/** Where a voice sounds, in seconds. */
function speechIn(active: readonly boolean[], unitMs: number): Speech[] {
  const speech: Speech[] = [];
  active.forEach((on, unit) => {
    if (!on) return;
    const [from, to] = [unit, unit + 1].map((at) => (at * unitMs) / 1000) as [number, number];
    const before = speech.at(-1);
    if (before?.to === from) before.to = to;
    else speech.push({ from, to });
  });
  return speech;
}

/** The voices among which the agent's should be known by its own; null: the recording has none. */
export async function candidatesOf(
  { truth, voices }: Recording,
  ffmpeg: FfmpegFinder,
): Promise<AskedMore["candidates"] | null> {
  const among = truth.agentVoice?.among ?? 0;
  if (!truth.agentVoice?.given || !voices || among === 0) return null;
  const { sound } = await listen({ path: voices, tracks: defaultTracks }, null, ffmpeg);
  const each = Math.floor(sound.length / among);
  return { sound: sound.subarray(0, each * among), among };
}

/**
 * Asks the judges about a recording.
 *
 * @param candidates Sounds of several voices in a row, of equal lengths, the right one first; null:
 * nothing is known of others.
 */
export async function judgedVoice(
  judge: Judge,
  heard: Heard,
  truth: Truth,
  { words, active, truthActive }: Pick<Measured, "words" | "active" | "truthActive">,
  unitMs: number,
  candidates: AskedMore["candidates"] | null,
): Promise<Outcome[]> {
  const second = unitMs / 1000;
  const asked = (utterances: readonly Utterance[]): AskedMore => ({
    utterances: utterances.map(({ from, to }) => ({ from: from * second, to: to * second })),
  });
  const errors = (
    measure: "voice error" | "voice error truth",
    utterances: readonly Utterance[],
    { heard }: JudgedMore,
  ): Outcome[] =>
    (heard ?? []).flatMap((text, i): Outcome[] => {
      const { words, from } = utterances[i] ?? { words: [], from: 0 };
      const understood = heardWords(text);
      const value = wordErrors(words, understood);
      return [{ measure, unit: from, value, said: understood.join(" "), wanted: words.join(" ") }];
    });
  const known = (measure: Outcome["measure"], value: number | null): Outcome[] =>
    value === null ? [] : [{ measure, unit: 0, value }];

  const own = utterancesOf(words.map(([unit, word]) => ({ unit, word })), unflag(active));
  const speech = speechIn(unflag(active), unitMs);
  const agent = await judge(heard.agent.sound ?? new Float32Array(0), speech, {
    ...asked(own),
    ...(candidates ? { candidates } : {}),
  });
  const outcomes = [
    ...errors("voice error", own, agent),
    ...known("speech quality", agent.quality),
    ...known("voice", agent.nearest === undefined ? null : agent.nearest === 0 ? 1 : 0),
  ];
  const [trueSound, floor] = [heard.truth.sound, heard.floor.sound];
  const trueActive = unflag(truthActive);
  if (trueSound) {
    const trueWords = truth.timeline.flatMap(({ word }, unit) =>
      word === null ? [] : [{ word, unit }]
    );
    const theirs = utterancesOf(trueWords, trueActive);
    outcomes.push(
      ...errors("voice error truth", theirs, await judge(trueSound, [], asked(theirs))),
    );
  }
  if (floor) {
    const { quality } = await judge(floor, speechIn(trueActive, unitMs), asked([]));
    outcomes.push(...known("speech quality codec", quality));
  }
  return outcomes;
}
