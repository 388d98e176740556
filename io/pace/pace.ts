/**
 * When units go in and responses come out: flat out, or paced like a call; and the latency
 * that the user perceives: from the moment when the last sample of u_k was captured to the moment when the first bytes of y_k
 * are there.
 *
 * `live` waits on the wall clock, for captured samples and for the simulated network, and measures.
 * `max` waits for nothing and computes the same on the stream clock from the times that the engine
 * took for each stage. The bytes are the same (unless units are skipped, which depends on time).
 */
import { Queue } from "../../engine/roles/queue.ts";
import type { Observation, Response } from "../../engine/checkpoint/unit.ts";
import { Link, type Network } from "./network.ts";
import type { UnitTimes } from "./pump.ts";

export type Pace = "live" | "max";

/** What happens when the machine can't keep up with `live`: `wait` lets latency grow; `skip` gives
 * the engine absent observations, oldest first. Each unit is answered in either case. */
export type Late = "wait" | "skip";

/** How a run is paced. */
export interface Pacing {
  unitMs: number;
  pace: Pace;
  late: Late;
  network: Network | null;
  /** The engine's: on the stream clock they tell when a response leaves. */
  schedule: "paper" | "eager";
  placement: "split" | "fused";
  /** The first unit that is given; 0 by default. */
  firstUnit?: number;
  /** The input is captured while it is read (a pipe), not before (a file). */
  arriving: boolean;
}

/** What the user perceived of a unit. */
export interface PerceivedLatency {
  /** `skipped`: the engine was late; `lost`: the network lost it. The engine got an absent one. */
  observation: "given" | "skipped" | "lost";
  /** False: the network lost the response. */
  heard: boolean;
  /** From the capture of the unit's last sample to the response's first bytes at the user's end, in
   * ms; null when it was lost. */
  interactionMs: number | null;
}

/** A clock to wait on; tests bring their own. */
export interface Clock {
  now(): number;
  /** Resolves at a time, or when the run ends. */
  until(at: number): Promise<void>;
}

/** The wall clock; an aborted signal ends all waiting. */
export function wallClock(signal: AbortSignal): Clock {
  const now = () => performance.now();
  return {
    now,
    until(at) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (signal.aborted || at <= now()) return Promise.resolve();
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, at - now());
      signal.addEventListener("abort", done);
      return promise;
    },
  };
}

const absent: Observation = { audio: null, frames: null };

/** Units that may be under way when late ones are skipped: one; with `paper` one more, because y_k
 * leaves in the next tick. What waits inside the engine could not be skipped any more. */
const skippingDepth = { eager: 1, paper: 2 };

/** Paces one run: it stands around observations and responses, and tells what the user perceived; it is
 * to be asked that about each response. */
export class Pacer {
  readonly #pacing: Pacing;
  readonly #clock: Clock;
  readonly #up: Link;
  readonly #down: Link;
  readonly #model: StreamClock;
  /** Units given and not yet answered. */
  readonly #given = new Map<
    number,
    { captured: number; observation: PerceivedLatency["observation"] }
  >();
  readonly #heard = new Map<number, boolean>();
  /** The last unit that was answered. */
  #answered: number;
  #room = Promise.withResolvers<void>();

  constructor(pacing: Pacing, clock: Clock) {
    this.#pacing = pacing;
    this.#clock = clock;
    this.#up = new Link(pacing.network, "up");
    this.#down = new Link(pacing.network, "down");
    this.#model = new StreamClock(pacing);
    this.#answered = (pacing.firstUnit ?? 0) - 1;
  }

  /** Gives each unit at its time, absent where it was lost or skipped. */
  async *observations(
    source: Iterable<Observation> | AsyncIterable<Observation>,
  ): AsyncGenerator<Observation> {
    const { unitMs, pace, late, schedule, arriving, firstUnit = 0 } = this.#pacing;
    const live = pace === "live";
    const depth = live && late === "skip" ? skippingDepth[schedule] : Infinity;
    let origin = 0;
    let next: { captured: number; at: number; lost: boolean } | undefined;
    const arrival = (unit: number) => {
      const captured = origin + (unit + 1) * unitMs;
      return { captured, ...this.#up.send(unit, captured) };
    };
    let unit = firstUnit;
    for await (const given of source) {
      if (unit === firstUnit && live) {
        origin = this.#clock.now() - (firstUnit + (arriving ? 1 : 0)) * unitMs;
      }
      const { captured, at, lost } = next ?? arrival(unit);
      next = arrival(unit + 1);
      if (live) await this.#clock.until(at);
      // A unit is late when the one after it is here too.
      const skipped = live && late === "skip" && this.#clock.now() >= next.at;
      const observation = lost ? "lost" : skipped ? "skipped" : "given";
      this.#given.set(unit++, { captured, observation });
      yield observation === "given" ? given : absent;
      while (unit - 1 - this.#answered >= depth) await this.#room.promise;
    }
  }

  /** Responses when they arrive at the user's end. */
  async *responses(source: AsyncIterable<Response>): AsyncGenerator<Response> {
    const { pace, network, unitMs } = this.#pacing;
    if (pace === "max" || network === null) {
      for await (const response of source) {
        this.#answer(response.unit);
        this.#heard.set(response.unit, !this.#down.send(response.unit, 0).lost);
        yield response;
      }
      return;
    }
    // Those on their way; more than fit into the delay means that nobody takes them.
    const onTheWay = new Queue<{ response: Response; at: number } | null>();
    const most = Math.ceil(this.#down.longest / unitMs) + 2;
    let taken = Promise.withResolvers<void>();
    let isOver = false;
    const send = async () => {
      for await (const response of source) {
        this.#answer(response.unit);
        const { at, lost } = this.#down.send(response.unit, this.#clock.now());
        this.#heard.set(response.unit, !lost);
        onTheWay.put({ response, at });
        while (!isOver && onTheWay.length >= most) await taken.promise;
        if (isOver) return;
      }
      onTheWay.put(null);
    };
    const sending = send().catch((error) => onTheWay.fail(error));
    try {
      for (let item; (item = await onTheWay.take());) {
        await this.#clock.until(item.at);
        yield item.response;
        taken.resolve();
        taken = Promise.withResolvers();
      }
    } finally {
      // The source ends with its next response.
      isOver = true;
      taken.resolve();
      await sending;
    }
  }

  /** The session has answered a unit: its answer's way to the user doesn't hold it up. */
  #answer(unit: number): void {
    this.#answered = Math.max(this.#answered, unit);
    this.#room.resolve();
    this.#room = Promise.withResolvers();
  }

  /**
   * What the user perceived of a unit; to be asked once per unit, in order.
   *
   * @param firstBytes When its first bytes were written, on the clock.
   */
  perceived(unit: number, times: UnitTimes, firstBytes: number): PerceivedLatency {
    const given = this.#given.get(unit);
    const heard = this.#heard.get(unit) ?? true;
    this.#given.delete(unit);
    this.#heard.delete(unit);
    this.#answer(unit);
    if (!given) throw new Error(`unit ${unit} was answered but not given`);
    const modelled = this.#model.answer(unit, times);
    const measured = firstBytes - given.captured;
    const interactionMs = this.#pacing.pace === "live" ? measured : modelled;
    return { observation: given.observation, heard, interactionMs: heard ? interactionMs : null };
  }
}

type Modelled = Pick<Pacing, "unitMs" | "network" | "schedule" | "placement" | "firstUnit">;

/**
 * The same on the stream clock: units are captured every `unitMs` and cross the network; a tick starts
 * when its unit is there and the tick before is done, and takes what its stages took.
 *
 * `paper`: y_k leaves in tick k + 1, whose encode and pass are taken to last as long as tick k's.
 */
export class StreamClock {
  readonly #modelled: Modelled;
  readonly #up: Link;
  readonly #down: Link;
  /** When the next unit's observation arrives. */
  #arrival: number;
  /** When tick k began, and when it ended. */
  #tick: number;
  #end = 0;

  constructor(modelled: Modelled) {
    this.#modelled = modelled;
    this.#up = new Link(modelled.network, "up");
    this.#down = new Link(modelled.network, "down");
    const { firstUnit = 0, unitMs } = modelled;
    this.#tick = this.#arrival = this.#up.send(firstUnit, (firstUnit + 1) * unitMs).at;
  }

  /** Ms from the capture of unit k's last sample to y_k's arrival; every unit once, in order. */
  answer(unit: number, times: UnitTimes): number {
    const { unitMs, schedule, placement, firstUnit = 0 } = this.#modelled;
    const { encode, pass, sendSlice, solve, sendLatents, decode, write } = times;
    const captured = (unit + 1) * unitMs;
    const solved = this.#tick + encode + pass + sendSlice + solve + sendLatents;
    this.#arrival = Math.max(this.#arrival, this.#up.send(unit + 1, captured + unitMs).at);
    if (schedule === "eager") {
      this.#end = solved + decode + write;
      this.#tick = Math.max(this.#arrival, this.#end);
    } else {
      if (unit === firstUnit) this.#end = this.#tick + encode + pass;
      this.#tick = Math.max(this.#arrival, this.#end);
      const encoded = this.#tick + encode;
      // On one device the solver runs when its result is asked for, in the next tick.
      const ready = placement === "fused" ? encoded + solve : Math.max(encoded, solved);
      this.#end = ready + pass + decode + write;
    }
    return this.#down.send(unit, this.#end).at - captured;
  }
}
