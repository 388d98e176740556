/** Drives ticks for measuring: both roles on one device and this thread, one unit at a time, so that
 * no stage overlaps another or waits for it. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { Model } from "../model/model.ts";
import { Performer } from "../roles/performer.ts";
import { Queue } from "../roles/queue.ts";
import type { Settings } from "../model/settings.ts";
import { Thinker } from "../roles/thinker.ts";
import { type StagePlans, stagePlans, type TickStage, tickStages } from "../roles/tick_plan.ts";
import { clock, type UnitInput } from "../roles/messages.ts";
import { type Input, localPerformer, runTicks } from "../roles/ticks.ts";
import { HistoryWindow } from "../model/window.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { quantile } from "../../kernels/measure/quantile.ts";
import type { Plan } from "../../kernels/gpu/plan.ts";

/** Milliseconds of one tick; `tick` is the sum of its stages. */
export type TickTimes = Record<TickStage | "tick", number> & {
  /** Tokens visible in history when the response was solved. */
  historyTokens: number;
};

export class TickBench {
  readonly model: Model;
  private readonly thinker: Thinker;
  private readonly performer: Performer;
  #next = 0;

  private constructor(
    model: Model,
    thinker: Thinker,
    performer: Performer,
  ) {
    this.model = model;
    this.thinker = thinker;
    this.performer = performer;
  }

  /** @param loaded Called when the weights are on the device, before the plans are made. */
  static async create(
    gpu: Gpu,
    checkpoint: Checkpoint,
    settings: Settings,
    loaded: () => void = () => {},
  ): Promise<TickBench> {
    const model = new Model(gpu, checkpoint, settings);
    loaded();
    const thinker = await Thinker.create(model, false);
    const performer = await Performer.create(model, false);
    return new TickBench(model, thinker, performer);
  }

  /** Runs so many ticks on loud random observations, which keep every stage at work. */
  async run(count: number, progress: (done: number) => void = () => {}): Promise<TickTimes[]> {
    const inputs = new Queue<Input>();
    const ticks: TickTimes[] = [];
    const give = () => inputs.put({ ...randomMedia(this.model), typed: [], arrived: clock() });
    give();
    await runTicks(this.thinker, localPerformer(this.performer), inputs, {
      schedule: "eager",
      first: this.#next,
      emit({ historyTokens, stages: { encode, pass, solve, decode } }) {
        const tick = encode + pass + solve + decode;
        ticks.push({ encode, pass, solve, decode, tick, historyTokens });
        progress(ticks.length);
        if (ticks.length < count) give();
        else inputs.put(null);
      },
    });
    this.#next += count;
    return ticks;
  }

  /**
   * Goes on at a unit with as much history as there would be: a tick over it takes as long as over one
   * that was lived through, though nothing true is in it.
   */
  jump(unit: number): void {
    const { window } = this.model;
    const empty = new HistoryWindow(window.layout, window.sizes);
    window.ranks.set(empty.ranks);
    window.used = empty.used;
    if (unit > 0) window.restore(unit - 1, window.unitsAfter(unit - 1).map(() => 0));
    this.model.history.writeWindow();
    this.#next = unit;
  }

  /** What the stages encode, tick by tick. */
  get plans(): StagePlans {
    return stagePlans(this.thinker, this.performer);
  }

  /** Readbacks that a tick waits for: one per stage; encoding waits for none where they sleep. */
  readbacks(skipsSleep: boolean): number {
    return skipsSleep ? tickStages.length : tickStages.length - 1;
  }
}

/** What recorded plans save on the host. */
export interface EncodingCost {
  /** Milliseconds to encode one tick's commands from recorded plans, and with bind groups anew. */
  recorded: number;
  anew: number;
  dispatches: number;
  copies: number;
}

/** Times the encoding of a tick's commands; nothing is submitted. */
export function encodingCost(gpu: Gpu, stages: StagePlans): EncodingCost {
  const plans = tickStages.flatMap((stage) => stages[stage]);
  const steps = plans.flatMap((plan) => plan.steps);
  const dispatches = steps.filter(({ kind }) => kind === "dispatch").length;
  const time = (encode: (plan: Plan, encoder: GPUCommandEncoder) => void) =>
    quantile(
      Array.from({ length: 15 }, () => {
        const start = performance.now();
        const encoder = gpu.device.createCommandEncoder();
        for (const plan of plans) encode(plan, encoder);
        encoder.finish();
        return performance.now() - start;
      }),
      0.5,
    );
  return {
    recorded: time((plan, encoder) => plan.encode(encoder)),
    anew: time((plan, encoder) => plan.encodeAnew(gpu, encoder)),
    dispatches,
    copies: steps.length - dispatches,
  };
}

/** Ticks at one length of history. */
export interface GrowthPoint {
  /** Units before each of these ticks, and tokens in sight of the solver. */
  units: number;
  tokens: number;
  ticks: TickTimes[];
}

/** Ticks at several lengths of history, in units. All lengths take turns, so that a disturbance hits
 * them all; ticks before the first compile. */
export async function tickGrowth(
  bench: TickBench,
  lengths: readonly number[],
  ticksEach: number,
  progress: (what: string) => void,
): Promise<GrowthPoint[]> {
  bench.jump(0);
  await bench.run(3, () => progress("first ticks"));
  const points = lengths.map((units): GrowthPoint => ({ units, tokens: 0, ticks: [] }));
  for (let round = 0; round < ticksEach; round++) {
    for (const point of points) {
      progress(`round ${round + 1} of ${ticksEach}: tick after ${point.units} units`);
      bench.jump(point.units);
      const ticks = await bench.run(1);
      point.tokens = ticks[0]?.historyTokens ?? 0;
      point.ticks.push(...ticks);
    }
  }
  return points;
}

function randomMedia(model: Model): Pick<UnitInput, "audio" | "frames"> {
  const { userSamples, frames } = model.layout;
  const { width, height } = model.checkpoint.config.observation.video;
  const pixels = new Uint8Array(frames * width * height * 3);
  for (let at = 0; at < pixels.length; at += 65536) {
    crypto.getRandomValues(pixels.subarray(at, at + 65536));
  }
  return {
    audio: Float32Array.from({ length: userSamples }, () => Math.random() - 0.5),
    frames: pixels,
  };
}
