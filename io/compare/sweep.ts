/**
 * What settings of turn-taking decide over recordings that were answered once: the cascade's own turn
 * logic, fed with the detector's scores of the user's voice, with the truth's words for what would be
 * read and answered, and with no neural network beside the detector (and Smart Turn). A decision is
 * counted even where the real cascade would find nothing to say.
 */
import { Dialogue } from "../../engine/cascade/dialogue.ts";
import type { EndOfTurn, Parts } from "../../engine/cascade/parts.ts";
import { presets } from "../../engine/cascade/presets.ts";
import type { TurnSettings } from "../../engine/cascade/turns.ts";
import type { Response, StreamShape } from "../../engine/checkpoint/unit.ts";
import { oracleEnd, silenceTimer, smartTurn } from "../agents/ears.ts";
import { type Interval, intervalOf, meanOf, quantileOf } from "../eval/figures/estimates.ts";
import { conversationOf } from "../eval/figures/parts.ts";
import { flags, unflag } from "../eval/figures/recording_result.ts";
import { onset, runAt } from "../eval/measures/activity.ts";
import { type Question, type Truth, truthRate } from "../eval/measures/truth.ts";
import { windowSamples } from "../score/activity.ts";
import type { Silero } from "../score/silero.ts";
import { truthTurns, waits } from "./latency.ts";
import type { Answered, Live, Turn } from "./result.ts";

/** A value with its interval. */
export interface Known {
  value: number | null;
  interval: Interval | null;
  events: number;
}

/** Where settings, or an agent, stand. */
export interface SweepPoint {
  name: string;
  /** `decisions`: by the turn logic alone; `full`: an agent's own answers. */
  kind: "decisions" | "full";
  /** Seconds of the silence timer; null: it isn't one of the curve. */
  silence: number | null;
  /** From the turn's last sample to the answer's first unit, without network and compute time, in ms. */
  delay: Known;
  delayP50: Known;
  /** Pauses inside questions in which the agent began to speak, of all. */
  brokenPauses: Known;
  /** Turns without an answer, of all. */
  missed: Known;
}

/** Settings to try. */
export interface Tried {
  name: string;
  settings: TurnSettings;
  /** The module that ends turns, a new one for each recording. */
  end(truth: Truth): EndOfTurn;
  silence: number | null;
  /** It hears the user: sound is read. */
  hears: boolean;
}

/** A recording as the turn logic answers it. */
export type Decided = Pick<Answered, "name" | "swap" | "active"> & {
  live: Pick<Live, "turns" | "onsets" | "computeMs" | "truth">;
};

/**
 * Decides a recording.
 *
 * @param shape Of observations.
 * @param sound The user's, mono at 16 kHz; null: the settings don't hear it.
 */
export async function decide(
  { name, swap, truthActive, live: { truth, userScores } }: Answered,
  { settings, end }: Tried,
  shape: StreamShape,
  sound: Float32Array | null,
): Promise<Decided> {
  const oracle = unflag(truthActive);
  const script = new Script(truth, oracle);
  const parts: Parts = {
    activity: { push: () => scoresOf(userScores, script.unit, shape) },
    endOfTurn: end(truth),
    reader: {
      push: () => Promise.resolve(),
      read: () => Promise.resolve(script.read()),
      look: () => Promise.resolve([]),
    },
    answerer: { heard: () => script.answer(), unasked: () => null },
    speaker: script,
  };
  const dialogue = new Dialogue(parts, settings, shape);
  for (let unit = 0; unit < truth.units; unit++) {
    script.unit = unit;
    const audio = sound?.slice(unit * shape.samples, (unit + 1) * shape.samples) ?? null;
    const given = {
      audio: audio?.length === shape.samples ? audio : null,
      ...{ frames: null, text: truth.timeline[unit]?.typed ?? "" },
    };
    await dialogue.answer(unit, given, 0);
  }
  const active = flags(script.active);
  const turns: Turn[] = truthTurns(truth, script.active, shape.unitMs);
  const computeMs = script.active.map(() => 0);
  return { name, swap, active, live: { turns, onsets: [], computeMs, truth } };
}

function scoresOf(scores: readonly number[], unit: number, { samples }: StreamShape) {
  const windows = Math.floor(samples / windowSamples);
  return Float32Array.from({ length: windows }, (_, i) => scores[unit * windows + i] ?? 0);
}

/** Reader, answerer and speaker that follow the truth record. */
class Script {
  unit = 0;
  readonly active: boolean[] = [];
  readonly #questions: readonly Question[];
  readonly #oracle: readonly boolean[];
  /** Words that were read of each question, and the question that was read last. */
  readonly #read = new Map<Question, number>();
  #asked: Question | null = null;
  #due: { words: string[]; units: number } | null = null;

  constructor(truth: Truth, oracle: readonly boolean[]) {
    this.#oracle = oracle;
    this.#questions = truth.events.filter((event) => event.type === "question");
  }

  /** What of spoken questions was heard up to this unit and not yet read. */
  read(): string[] {
    return this.#questions.flatMap((question) => {
      const { start, end, text, typed } = question;
      if (typed || start > this.unit) return [];
      const words = text.split(/\s+/);
      const heard = Math.ceil(
        words.length * Math.min(1, (this.unit - start + 1) / (end - start + 1)),
      );
      const read = this.#read.get(question) ?? 0;
      this.#read.set(question, heard);
      if (heard > read) this.#asked = question;
      return words.slice(read, heard);
    });
  }

  answer(): string[] | null {
    const typed = this.#questions.findLast((one) => one.typed && one.end <= this.unit);
    if (typed && (this.#asked === null || typed.start > this.#asked.start)) this.#asked = typed;
    return this.#asked && [...this.#asked.words];
  }

  get isSpeaking(): boolean {
    return this.#due !== null;
  }

  /** As long as the oracle's answer; two units a word where it gave none. */
  say(words: readonly string[]): void {
    const answer = this.#asked?.answer ?? -1;
    const run = runAt(this.#oracle, answer, 1) ?? runAt(this.#oracle, answer + 1, 1);
    const units = run ? run.end - Math.max(run.first, answer) : 2 * words.length;
    this.#due = { words: [...words], units: Math.max(units, words.length) };
  }

  stop(): string[] {
    const unsaid = this.#due?.words ?? [];
    this.#due = null;
    return unsaid;
  }

  next(): Promise<Response> {
    const text = this.#due?.words.shift();
    this.active.push(this.#due !== null);
    if (this.#due && --this.#due.units <= 0) this.#due = null;
    return Promise.resolve({
      ...{ unit: this.unit, text: text === undefined ? "" : ` ${text}`, tokens: [] },
      ...{ audio: new Float32Array(), frames: new Uint8Array(), digest: "", historyTokens: 0 },
      stages,
    });
  }
}

const stages = {
  ...{ encode: 0, pass: 0, sendSlice: 0, solve: 0, sendLatents: 0, decode: 0 },
  ...{ wait: 0, queue: 0, total: 0 },
};

/** The point of answers, or of decisions. @param draws Draws of the bootstrap; 0: no intervals. */
export function pointOf(
  what: Pick<SweepPoint, "name" | "kind" | "silence">,
  results: readonly Decided[],
  unitMs: number,
  draws: number,
): SweepPoint {
  const groups = [...Map.groupBy(results.filter(({ swap }) => swap === null), conversationOf)]
    .map(([, list]) => list);
  const lists = (of: (one: Decided) => number[]) => groups.map((list) => list.flatMap(of));
  const known = (estimate: ReturnType<typeof meanOf>): Known => {
    const { value, events } = estimate(groups.map((_, i) => i));
    const isKnown = events > 0 && !Number.isNaN(value);
    return {
      ...{ value: isKnown ? value : null, events },
      interval: isKnown && draws > 0 ? intervalOf(estimate, groups.length, draws) : null,
    };
  };
  const delays = lists((one) =>
    waits({ ...one, live: { ...one.live, onsets: [] } }, unitMs, null, false)
      .flatMap(({ ms, early }) => ms === null || early ? [] : [ms])
  );
  return {
    ...what,
    delay: known(meanOf(delays)),
    delayP50: known(quantileOf(delays, 0.5)),
    brokenPauses: known(meanOf(lists(({ active, live }) => broken(live.truth, active, unitMs)))),
    missed: known(
      meanOf(lists(({ live }) => live.turns.map(({ onset }) => onset === null ? 1 : 0))),
    ),
  };
}

/**
 * Of each pause inside a question 1 where the agent began to speak in it, silent in the unit before:
 * from the unit in which the pause begins to the one in which the user goes on. `eval` counts from the
 * next unit: but a timer of 0.1 s is over within the pause's first.
 */
function broken({ events }: Truth, active: string, unitMs: number): number[] {
  const voice = unflag(active);
  const unitOf = (sample: number) => Math.floor((sample * 1000) / truthRate / unitMs);
  return events.flatMap((event) =>
    event.type !== "question"
      ? []
      : event.pauses.map(([from, to]) =>
        onset(voice, unitOf(from), unitOf(to) + 1) === null ? 0 : 1
      )
  );
}

/** How far a full run decides as the turn logic alone does. */
export interface Agreement {
  /** The agent, and the settings it is held against. */
  agent: string;
  decisions: string;
  /** Turns that both answered, and those of them whose answers begin in the same unit. */
  turns: number;
  same: number;
}

export function agreement(
  full: readonly Decided[],
  decided: readonly Decided[],
): Pick<Agreement, "turns" | "same"> {
  const others = new Map(decided.map((one) => [one.name, one]));
  const pairs = full.flatMap(({ name, live }) =>
    live.turns.flatMap(({ turn, onset }) => {
      const other = others.get(name)?.live.turns.find((one) => one.turn === turn)?.onset ?? null;
      return onset === null || other === null ? [] : [onset === other];
    })
  );
  return { turns: pairs.length, same: pairs.filter((one) => one).length };
}

/** Seconds of the silence timers that make the curve. */
const timers = Array.from({ length: 15 }, (_, i) => (i + 1) / 10);

/** Pipecat's timer without Smart Turn: 0.6 s after the activity's end, which is 0.2 s of silence. */
const pipecatTimer = 0.8;

/** What is tried: the curve of timers, the frameworks as they are shipped, and the upper bound. All
 * timers, and the oracle, stand on LiveKit's activity. @param judge Smart Turn's; null: it isn't there. */
export function triedSettings(judge: Pick<Silero, "judge"> | null): Tried[] {
  const { livekit, pipecat } = presets;
  const timer = (
    name: string,
    settings: TurnSettings,
    seconds: number,
    onCurve: boolean,
  ): Tried => ({
    ...{ name, settings, end: () => silenceTimer(seconds), hears: false },
    silence: onCurve ? seconds : null,
  });
  return [
    ...timers.map((seconds) => timer(`${seconds} s of silence`, livekit, seconds, true)),
    timer("LiveKit's preset", livekit, livekit.stop, false),
    timer("Pipecat's preset without Smart Turn", pipecat, pipecatTimer, false),
    ...(judge
      ? [{
        ...{ name: "Pipecat's preset with Smart Turn", settings: pipecat, hears: true },
        ...{ end: () => smartTurn(judge), silence: null },
      }]
      : []),
    { name: "oracle", settings: livekit, end: oracleEnd, hears: false, silence: null },
  ];
}

/** All points, and how far full runs agree with decisions. */
export interface Sweep {
  points: SweepPoint[];
  agreements: Agreement[];
  /** What isn't in it, and why. */
  notes: string[];
}

/**
 * Sweeps over the recordings of a run.
 *
 * @param agents Agents' own answers to these recordings, the first one's for what the user is heard as.
 * @param sound Reads the user's sound. @param notes What isn't in it.
 */
export async function sweep(
  agents: readonly { name: string; results: readonly Answered[] }[],
  tried: readonly Tried[],
  shape: StreamShape,
  sound: (name: string) => Promise<Float32Array>,
  draws: number,
  progress: (done: number, all: number) => void,
  notes: readonly string[] = [],
): Promise<Sweep> {
  const { unitMs } = shape;
  const heard = (agents[0]?.results ?? []).filter(({ swap }) => swap === null);
  const points: SweepPoint[] = [];
  const decisions: { name: string; decided: Decided[] }[] = [];
  for (const [at, one] of tried.entries()) {
    progress(at, tried.length);
    const decided: Decided[] = [];
    for (const result of heard) {
      decided.push(await decide(result, one, shape, one.hears ? await sound(result.name) : null));
    }
    const { name, silence } = one;
    points.push(pointOf({ name, kind: "decisions", silence }, decided, unitMs, draws));
    decisions.push({ name, decided });
  }
  const cascades = agents.filter(({ results }) =>
    results.some(({ live }) => live.trace.length > 0)
  );
  const agreements = cascades.flatMap(({ name, results }) =>
    decisions.map(({ name: other, decided }): Agreement => ({
      ...{ agent: name, decisions: other },
      ...agreement(results, decided),
    }))
  );
  return {
    points: [
      ...points,
      ...agents.map(({ name, results }) =>
        pointOf({ name, kind: "full", silence: null }, results, unitMs, draws)
      ),
    ],
    agreements: bestOf(agreements),
    notes: [...notes],
  };
}

/** Of each agent the settings that it agrees with most. */
function bestOf(all: readonly Agreement[]): Agreement[] {
  const share = ({ turns, same }: Agreement) => turns > 0 ? same / turns : -1;
  return [...Map.groupBy(all, ({ agent }) => agent).values()].map((list) =>
    list.reduce((best, one) => share(one) > share(best) ? one : best)
  );
}
