/**
 * Full-Duplex-Bench's figures by their definitions (arXiv 2503.04721, 2507.23159, and the scripts of
 * the benchmark's repository). docs/full_duplex_bench.md says where the scripts differ from these.
 */
import type { SpokenWord } from "../../layouts/layout.ts";
import { roundEven, type Stretch } from "./speech.ts";

/** Speech that is shorter than this, in seconds, and has at most so many words, takes no turn. */
const shortTurn = 1;
const fewWords = 3;

/** Whether the agent takes the turn: TOR is the mean of this. */
export function takesTurn(words: readonly SpokenWord[]): boolean {
  const [first, last] = [words[0], words.at(-1)];
  if (!first || !last) return false;
  return last.to - first.from >= shortTurn || words.length > fewWords;
}

/** Seconds from a moment to the agent's first word; 0 where that came before. Null: no turn is taken. */
export function latencyFrom(moment: number, words: readonly SpokenWord[]): number | null {
  const [first] = words;
  return first && takesTurn(words) ? Math.max(0, first.from - moment) : null;
}

/** Pauses that part no speech, in seconds: of the user's and of the agent's. */
const userGap = 0.6;
const agentGap = 0.5;

/** What `get_timing.py` gives of a sample: where both speak, and where the agent is awaited. */
export interface Timing {
  stop: Stretch[];
  response: Stretch[];
}

/** @param user Speech in seconds, in order. @param agent Likewise. */
export function timingOf(user: readonly Stretch[], agent: readonly Stretch[]): Timing {
  const [heard, said] = [joined(user, userGap), joined(agent, agentGap)];
  return { stop: overlapsOf(heard, said), response: gapsOf(heard, said) };
}

function joined(stretches: readonly Stretch[], gap: number): Stretch[] {
  const all: Stretch[] = [];
  for (const [from, to] of stretches) {
    const last = all.at(-1);
    if (last && from - last[1] <= gap) last[1] = Math.max(last[1], to);
    else all.push([from, to]);
  }
  return all;
}

const byMilliseconds = ([from, to]: Stretch): Stretch => [roundEven(from, 3), roundEven(to, 3)];

function overlapsOf(user: readonly Stretch[], agent: readonly Stretch[]): Stretch[] {
  const found: Stretch[] = [];
  for (let i = 0, j = 0; i < user.length && j < agent.length;) {
    const [one, other] = [user[i] as Stretch, agent[j] as Stretch];
    const both: Stretch = [Math.max(one[0], other[0]), Math.min(one[1], other[1])];
    if (both[1] > both[0]) found.push(both);
    if (one[1] < other[1]) i++;
    else j++;
  }
  return found.map(byMilliseconds);
}

/** From each end of the user's speech to the agent's next beginning; where two ends have the same one,
 * from the later. */
function gapsOf(user: readonly Stretch[], agent: readonly Stretch[]): Stretch[] {
  const found = new Map<number, Stretch>();
  for (const [, to] of user) {
    const next = agent.find(([from]) => from > to)?.[0];
    if (next !== undefined) found.set(next, [to, next]);
  }
  return [...found.values()].map(byMilliseconds);
}

/** Speech that is longer than this, in seconds, is no backchannel. */
const longBackchannel = 3;

/** How the agent listens to a talker. */
export interface Listening {
  /** It takes the turn. */
  takesTurn: boolean;
  /** What may be backchannels: its speech before the first that is too long. */
  backchannels: Stretch[];
}

/** @param speech The agent's, in tenths of a second. @param words What it says. */
export function listeningOf(speech: readonly Stretch[], words: readonly SpokenWord[]): Listening {
  const tooLong = speech.findIndex(([from, to]) => to - from > longBackchannel);
  const backchannels = tooLong < 0 ? [...speech] : speech.slice(0, tooLong);
  const takes = ([from, to]: Stretch) => {
    const said = words.filter((word) =>
      word.from >= from && word.to <= to || word.from <= to && word.to > to ||
      word.from <= from && word.to > from
    );
    return said.length > 2 || to - from >= shortTurn;
  };
  return { takesTurn: tooLong >= 0 || backchannels.some(takes), backchannels };
}

/** Seconds of a window in which backchannels are counted. */
const countWindow = 0.2;
const least = 1e-10;

/**
 * How far the times of an agent's backchannels lie from those of people: the square root of the
 * Jensen-Shannon divergence (natural logarithm) of both distributions over windows of 0.2 s; 1 where
 * there is no backchannel.
 *
 * @param seconds Length of the recording. @param people Their distribution over the recording.
 */
export function timesDistance(
  backchannels: readonly Stretch[],
  seconds: number,
  people: readonly number[],
): number {
  if (backchannels.length === 0) return 1;
  const counts = new Float64Array(Math.floor(seconds / countWindow) + 1).fill(least);
  for (const [from, to] of backchannels) {
    const last = Math.min(Math.floor(to / countWindow), counts.length - 1);
    for (let i = Math.floor(from / countWindow); i <= last; i++) counts[i] = (counts[i] ?? 0) + 1;
  }
  const theirs = counts.map((_, i) => {
    const place = counts.length < 2 ? 0 : i * (people.length - 1) / (counts.length - 1);
    const [low, part] = [Math.floor(place), place % 1];
    const value = people[low] ?? 0;
    return value + part * ((people[low + 1] ?? value) - value);
  });
  return jensenShannon(counts, theirs);
}

function jensenShannon(one: Float64Array, other: Float64Array): number {
  const share = (values: Float64Array) => {
    const sum = values.reduce((a, b) => a + b, 0);
    return values.map((value) => value / sum);
  };
  const [p, q] = [share(one), share(other)];
  const entropy = (a: Float64Array, b: Float64Array) =>
    a.reduce((sum, x, i) => sum + (x > 0 ? x * Math.log(2 * x / (x + (b[i] ?? 0))) : 0), 0);
  return Math.sqrt(Math.max(0, (entropy(p, q) + entropy(q, p)) / 2));
}
