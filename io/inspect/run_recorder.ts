/** Keeps what a page shows of a run while it runs: the last units of it, so that memory is bounded. */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { Inspection, Observation, Response } from "../../engine/checkpoint/unit.ts";
import { isActive, rms } from "../pace/activity.ts";
import type {
  ClockEvent,
  Event,
  HeaderEvent,
  RecoveryEvent,
  SummaryEvent,
  UnitEvent,
} from "../pace/events.ts";
import { round } from "../pace/statistics.ts";
import { Resampler } from "../media/resample.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { fromPcm16, toPcm16 } from "../media/wav.ts";
import type { Onlooker } from "../run/run_model.ts";
import type { Ffmpeg } from "../ffmpeg/ffmpeg.ts";
import { encodePictures, shrink, smallSize } from "./pictures.ts";
import { type Decision, type Inside, type RunData, runSchema, type Said } from "./run_data.ts";
import type { UnitData } from "./run_data.ts";
import { wavFile } from "./wav_file.ts";

/** What is kept of one side in a unit. */
interface Side {
  /** 16 bits a sample; null: no sound. */
  pcm: Uint8Array | null;
  /** Small RGB24 frames; null: no picture. */
  frames: Uint8Array | null;
  /** RMS. */
  level: number;
}

interface Kept {
  unit: number;
  typed: string;
  input: string;
  user: Side;
  agent: Side | null;
  event: Omit<UnitEvent, "type" | "unit"> | null;
  inside: Inside | null;
  modules: Record<string, number> | null;
  decisions: Decision[];
}

/** What a cascade's response brings beside a response. */
type Answered = Response & { modules?: Record<string, number>; trace?: readonly Decision[] };

/** Of the sound in the page. */
const sampleRate = 16000;
const wholes = 10_000;

/** What a recorder is told of the run. */
export interface RecordedRun {
  /** What the page calls the run: its input and its seed by default. */
  name?: string;
  user: StreamShape;
  agent: StreamShape;
  /** Most units that it keeps, the last ones. */
  most: number;
  /** What the user says, and what the agent should, where that is known. */
  said?: readonly Said[];
  right?: readonly Said[];
  /** Token that says nothing. */
  filler?: number;
}

export class RunRecorder implements Onlooker {
  readonly #run: RecordedRun;
  /** By unit, in order. */
  readonly #kept = new Map<number, Kept>();
  #header: HeaderEvent | null = null;
  #summary: SummaryEvent | null = null;
  #happened: (RecoveryEvent | ClockEvent)[] = [];
  #dropped = 0;

  constructor(run: RecordedRun) {
    this.#run = run;
  }

  observe(unit: number, { audio, frames, text = "" }: Observation): void {
    const hash = createHash("sha256").update(text).update(`\0${audio !== null} ${frames !== null}`);
    if (audio) hash.update(new Uint8Array(audio.buffer, audio.byteOffset, audio.byteLength));
    if (frames) hash.update(frames);
    this.#kept.set(unit, {
      unit,
      typed: text,
      input: hash.digest("hex"),
      user: side(audio, frames, this.#run.user),
      ...{ agent: null, event: null, inside: null, modules: null, decisions: [] },
    });
  }

  answer(response: Answered): void {
    const kept = this.#kept.get(response.unit);
    if (kept === undefined) return;
    const { audio, frames, inspection, modules, trace } = response;
    // What is answered ends what is kept: of an interrupted run some units stay unanswered.
    for (const old of this.#kept.keys()) {
      if (old > response.unit - this.#run.most) break;
      this.#kept.delete(old);
      this.#dropped++;
    }
    kept.agent = side(audio, frames, this.#run.agent);
    kept.inside = inspection === undefined ? null : insideOf(inspection);
    kept.modules = modules ?? null;
    kept.decisions = (trace ?? []).map(({ module, what, words }) => ({
      ...{ module, what },
      ...(words === undefined ? {} : { words }),
    }));
  }

  event(event: Event): void {
    if (event.type === "header") this.#header = event;
    else if (event.type === "summary") this.#summary = event;
    else if (event.type !== "unit") this.#happened.push(event);
    else {
      const { type: _, unit, ...rest } = event;
      const kept = this.#kept.get(unit);
      if (kept) kept.event = rest;
      const first = unit - this.#run.most;
      this.#happened = this.#happened.filter(({ unit }) => unit > first);
    }
  }

  /**
   * What the page shows; null: nothing was answered.
   *
   * @throws RunError when FFmpeg can't encode the pictures.
   */
  async data(ffmpeg: Ffmpeg): Promise<RunData | null> {
    const { user, agent, said = [], right = [], filler = null } = this.#run;
    const all = [...this.#kept.values()].flatMap(({ agent, event, ...rest }) =>
      agent && event ? [{ ...rest, agent, event }] : []
    );
    const [first] = all;
    const header = this.#header;
    if (first === undefined || header === null) return null;
    const { type: _, ...facts } = header;
    const { noise: seed } = facts.provenance.seeds;
    const { name = `${basename(facts.input?.path ?? "stream")}, seed ${seed ?? "unknown"}` } =
      this.#run;
    const isSplit = header.session["placement"] === "split";
    const small = { user: smallSize(user), agent: smallSize(agent) };
    const encoded = {
      user: await encodePictures(ffmpeg, all.map((kept) => kept.user.frames), small.user),
      agent: await encodePictures(ffmpeg, all.map((kept) => kept.agent.frames), small.agent),
    };
    const units = all.map(({ user, agent, ...kept }, i): UnitData => ({
      ...kept,
      level: { user: decibels(user.level), agent: decibels(agent.level) },
      active: { user: isActive(user.level), agent: kept.event.audioActive },
      busyMs: kept.modules ? sum(Object.values(kept.modules)) : busy(kept.event.ms, isSplit),
      pictures: { user: encoded.user[i] ?? null, agent: encoded.agent[i] ?? null },
    }));
    const seconds = (units: number) => ((units * user.unitMs) / 1000).toFixed(2);
    const notes = [
      ...(first.unit > 0
        ? [
          `The page begins at unit ${first.unit} (${seconds(first.unit)} s): ` +
          (this.#dropped > 0
            ? `it holds the last ${seconds(units.length)} s of the run.`
            : "before that the run was answered earlier, or was another one."),
        ]
        : []),
      ...(this.#summary === null || this.#summary.ended === "complete"
        ? []
        : [`The run ended before its input did: ${this.#summary.ended}.`]),
      ...(units.some(({ inside }) => inside !== null)
        ? []
        : ["This agent doesn't tell probabilities, attention and the solver's path."]),
    ];
    const sounds = [
      track(all.map(({ user }) => user.pcm), user),
      track(all.map(({ agent }) => agent.pcm), agent),
    ] as const;
    return {
      ...{ schema: runSchema, name, header: facts, notes, unitMs: user.unitMs, filler },
      ...{
        pictures: small,
        sampleRate,
        units,
        happened: this.#happened,
        said: [...said],
        right: [...right],
      },
      wav: wavFile(sounds, sampleRate).toBase64(),
    };
  }
}

function side(audio: Float32Array | null, frames: Uint8Array | null, shape: StreamShape): Side {
  return {
    pcm: audio && toPcm16(audio),
    frames: frames && shrink(frames, shape),
    level: audio ? rms(audio) : 0,
  };
}

function insideOf({ attention, path, top, filler, entropy }: Inspection): Inside {
  const speed = ({ velocity, guidance }: Inspection["path"][number]["audio"]) => ({
    velocity: round(velocity, 5),
    guidance: guidance === null ? null : round(guidance, 5),
  });
  return {
    filler: round(filler, 6),
    entropy: round(entropy, 5),
    top: top.map(({ token, text, probability }) => ({
      ...{ token, text },
      probability: round(probability, 6),
    })),
    shares: Array.from(attention.shares, (share) => Math.round(share * wholes)),
    layers: attention.layers,
    path: path.map(({ step, tau, audio, video }) => ({
      ...{ step, tau: round(tau, 4) },
      ...{ audio: speed(audio), video: speed(video) },
    })),
  };
}

const decibels = (level: number) => level > 0 ? round(20 * Math.log10(level), 1) : null;

const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);

/** What the busier role worked on a unit: over a unit's length, it can't keep up. */
function busy(ms: Record<string, number>, isSplit: boolean): number {
  const of = (...stages: string[]) => sum(stages.map((stage) => ms[stage] ?? 0));
  const thinker = of("encode", "pass", "decode", "write");
  const performer = of("sendSlice", "solve", "sendLatents");
  return round(isSplit ? Math.max(thinker, performer) : thinker + performer, 3);
}

/** A side's sound at the page's rate. */
function track(units: readonly (Uint8Array | null)[], shape: StreamShape): Float32Array {
  const resampler = new Resampler(shape.sampleRate, sampleRate);
  const silence = new Float32Array(shape.samples);
  const parts = units.map((pcm) => resampler.push(pcm ? fromPcm16(pcm) : silence));
  parts.push(resampler.flush());
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
