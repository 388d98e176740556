/** What the units of a run add up to: counts, and percentiles of their stages. */
import { createHash } from "node:crypto";
import type { SummaryEvent, UnitEvent } from "./events.ts";
import { Quantiles, round } from "./statistics.ts";

/** What the machine does for a unit, in this order. */
const work = ["encode", "pass", "sendSlice", "solve", "sendLatents", "decode", "write"] as const;

/** Times of a unit as its event names them. `queue`: from its arrival to the beginning of its encoding;
 * `total`: from there until its response was written; `wait`: what no stage accounts for in `total`. */
const stages = [...work, "wait", "total", "queue"] as const;
type Stage = typeof stages[number];

/** Units at the beginning of a run that percentiles leave out, here and in `bench latency`: pipelines
 * are compiled, and what that delayed is caught up with. */
export const warmUnits = 25;

/** What a run adds up to, unit by unit; its memory doesn't grow with the units. */
export class RunTotals {
  units = 0;
  /** Observations that were skipped; packets that were lost. */
  skipped = 0;
  readonly lost = { up: 0, down: 0 };
  /** Of the units that were heard. */
  readonly interaction = new Quantiles();
  readonly #stages = byStage(() => new Quantiles());
  /** Only where a page is made. */
  readonly #inspect = new Quantiles();
  #workMs = 0;
  readonly #digest = createHash("sha256");

  /** Adds the next unit. */
  add({ ms, observation, heard, interactionMs, digest }: UnitEvent): void {
    this.units++;
    if (observation === "skipped") this.skipped++;
    if (observation === "lost") this.lost.up++;
    if (!heard) this.lost.down++;
    this.#digest.update(digest);
    this.#workMs += work.reduce((sum, stage) => sum + (ms[stage] ?? 0), 0);
    if (this.units <= warmUnits) return;
    if (interactionMs !== null) this.interaction.add(interactionMs);
    for (const stage of stages) this.#stages[stage].add(ms[stage] ?? 0);
    if (ms["inspect"] !== undefined) this.#inspect.add(ms["inspect"]);
  }

  /** By stage, in ms. */
  latency(): SummaryEvent["latencyMs"] {
    const inspect = this.#inspect.bins > 0 ? { inspect: this.#inspect.percentiles() } : {};
    return { ...byStage((stage) => this.#stages[stage].percentiles()), ...inspect };
  }

  /** How the run went, at its end. */
  summary(
    { ended, unitMs, wallMs, cut, outputs, run }:
      & Pick<SummaryEvent, "ended" | "cut" | "outputs" | "run">
      & {
        unitMs: number;
        wallMs: number;
      },
  ): SummaryEvent {
    const { units, skipped, lost } = this;
    const seconds = (units * unitMs) / 1000;
    const workSeconds = Math.min(this.#workMs, wallMs) / 1000;
    return {
      type: "summary",
      ended,
      units,
      seconds: round(seconds, 6),
      cut: cut && { seconds: round(cut.seconds, 3), reason: cut.reason },
      digest: this.#digest.copy().digest("hex"),
      outputs,
      wallSeconds: round(wallMs / 1000, 3),
      workSeconds: round(workSeconds, 3),
      realTimeFactor: round(workSeconds / seconds, 4),
      skipped,
      lost,
      warmUnits,
      interactionMs: this.interaction.percentiles(),
      latencyMs: this.latency(),
      run,
    };
  }
}

function byStage<T>(of: (stage: Stage) => T): Record<Stage, T> {
  return Object.fromEntries(stages.map((stage) => [stage, of(stage)])) as Record<Stage, T>;
}
