/** A session as a comparison sees it: one unit after the other, through a network that may lose some,
 * with what the agent gives and needs kept. */
import { concatSamples } from "../system/bytes.ts";
import type { Observation, Response, StreamShape } from "../../engine/checkpoint/unit.ts";
import { Resampler } from "../media/resample.ts";
import { isActive, rms } from "../pace/activity.ts";
import { Link, type Network } from "../pace/network.ts";
import type { UnitSession } from "../pace/pump.ts";
import { round } from "../pace/statistics.ts";
import { soundRate } from "../score/activity.ts";
import { type Listened, wholePicture } from "../score/listen.ts";
import { MotionMeter } from "../score/picture.ts";
import type { Live, Traced } from "./result.ts";
import type { WorkMeter } from "./work.ts";

/** Milliseconds of a window in which a voice is looked for. */
const windowMs = 10;

/** What a cascade's response has beside others'. */
type Told = Response & { trace?: readonly Traced[]; modules?: Readonly<Record<string, number>> };

/**
 * Passes a session's units on. An observation goes in when the one who reads the responses asks for the
 * next: so what happens to a response meanwhile, and the reading of the recording, don't count as the
 * agent's time.
 */
export class Tap implements UnitSession {
  readonly #session: UnitSession;
  readonly #shape: StreamShape;
  readonly #work: WorkMeter;
  readonly #up: Link;
  readonly #sound: Float32Array[] = [];
  readonly #resampler: Resampler;
  readonly #motion: MotionMeter;
  #asked = 0;
  #given = 0;
  #wake = () => {};
  #closed = false;
  #began = 0;
  #wasActive = false;
  /** What is known so far. */
  readonly live: Pick<Live, "computeMs" | "lost" | "onsets" | "trace" | "modules"> = {
    ...{ computeMs: [], lost: 0, onsets: [], trace: [], modules: {} },
  };

  /** @param shape Of responses. @param network Its losses hold for observations. */
  constructor(
    session: UnitSession,
    shape: StreamShape,
    work: WorkMeter,
    network: Network | null = null,
  ) {
    this.#session = session;
    this.#shape = shape;
    this.#work = work;
    this.#up = new Link(network, "up");
    this.#resampler = new Resampler(shape.sampleRate, soundRate);
    this.#motion = new MotionMeter({ ...shape, frames: 1 }, wholePicture);
  }

  /** The agent's side, as `score` takes it. */
  get listened(): Listened {
    return { sound: concatSamples(this.#sound), motion: this.#motion.motion };
  }

  async push(observation: Observation): Promise<void> {
    while (this.#given >= this.#asked && !this.#closed) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#closed) return;
    const unit = this.#given++;
    const { lost } = this.#up.send(unit, (unit + 1) * this.#shape.unitMs);
    if (lost) this.live.lost++;
    await this.#work.begin();
    this.#began = performance.now();
    await this.#session.push(lost ? { ...observation, audio: null, frames: null } : observation);
  }

  end(): void {
    this.#session.end();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    return this.#session.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Response> {
    const responses = this.#session[Symbol.asyncIterator]();
    for (;;) {
      this.#asked++;
      this.#wake();
      const { value, done } = await responses.next();
      if (done) return;
      await this.#keep(value);
      yield value;
    }
  }

  async #keep({ unit, audio, frames, trace = [], modules = {} }: Told): Promise<void> {
    const { live } = this;
    live.computeMs.push(round(performance.now() - this.#began, 2));
    await this.#work.end();
    live.trace.push(...trace);
    for (const [name, ms] of Object.entries(modules)) {
      live.modules[name] = (live.modules[name] ?? 0) + ms;
    }
    const active = isActive(rms(audio));
    if (active && !this.#wasActive) live.onsets.push([unit, audibleMs(audio, this.#shape)]);
    this.#wasActive = active;
    this.#sound.push(this.#resampler.push(audio).slice());
    const size = this.#shape.width * this.#shape.height * 3;
    for (let i = 0; i < this.#shape.frames; i++) {
      this.#motion.add(frames.subarray(i * size, (i + 1) * size));
    }
  }
}

/** Milliseconds before the first window of a unit that is audible. */
function audibleMs(audio: Float32Array, { sampleRate, unitMs }: StreamShape): number {
  const samples = Math.round((sampleRate * windowMs) / 1000);
  for (let from = 0; from < audio.length; from += samples) {
    if (isActive(rms(audio, from, Math.min(from + samples, audio.length)))) {
      return (from * 1000) / sampleRate;
    }
  }
  return unitMs;
}
