/** What the units of a run add up to: counts, and percentiles of their stages. */
import { createHash } from "node:crypto";
import type { SummaryEvent, UnitEvent } from "./events.ts";
import { type Percentiles, Quantiles, round } from "./statistics.ts";

/** Stages as unit events name them, in the order in which a unit passes them. */
const stages = [
  "encode",
  "pass",
  "send_slice",
  "solve",
  "send_latents",
  "decode",
  "wait",
  "write",
  "total",
];

/** What a run adds up to, unit by unit; its memory doesn't grow with the units. */
export class RunTotals {
  units = 0;
  /** Observations that were skipped; packets that were lost. */
  skipped = 0;
  readonly lost = { up: 0, down: 0 };
  /** Of the units that were heard. */
  readonly interaction = new Quantiles();
  readonly #stages = new Map(stages.map((stage) => [stage, new Quantiles()]));
  readonly #digest = createHash("sha256");

  /** Adds the next unit. */
  add({ ms, observation, heard, interaction_ms, digest }: UnitEvent): void {
    this.units++;
    if (observation === "skipped") this.skipped++;
    if (observation === "lost") this.lost.up++;
    if (!heard) this.lost.down++;
    if (interaction_ms !== null) this.interaction.add(interaction_ms);
    for (const [stage, quantiles] of this.#stages) quantiles.add(ms[stage] ?? NaN);
    this.#digest.update(digest);
  }

  /** By stage, in ms. */
  latency(): Record<string, Percentiles> {
    return Object.fromEntries(
      [...this.#stages].flatMap(([stage, quantiles]) => {
        const percentiles = quantiles.percentiles();
        return percentiles ? [[stage, percentiles]] : [];
      }),
    );
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
    return {
      type: "summary",
      ended,
      units,
      seconds: round(seconds, 6),
      cut: cut && { seconds: round(cut.seconds, 3), reason: cut.reason },
      digest: this.#digest.copy().digest("hex"),
      outputs,
      wall_seconds: round(wallMs / 1000, 3),
      real_time_factor: round(wallMs / 1000 / seconds, 4),
      skipped,
      lost,
      interaction_ms: this.interaction.percentiles(),
      latency_ms: this.latency(),
      run,
    };
  }
}
