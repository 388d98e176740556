/** Tokens and operations of an agent, from the plans of its ticks on paper. */
import { openHeaders } from "../../engine/checkpoint/checkpoint.ts";
import { paperCheckpoint } from "../../engine/checkpoint/paper.ts";
import { unitLayout } from "../../engine/checkpoint/unit.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { launches, tickOnPaper, tickStages } from "../../engine/roles/tick_plan.ts";
import type { SessionOptions } from "../../engine/mod.ts";
import { sumWork } from "../../engine/bench/roofline.ts";
import { elements } from "../../kernels/gpu/tensor.ts";
import type { AgentSpec } from "../agents/agent.ts";

/** What a second of stream takes. */
export interface PaperWork {
  /** Of the checkpoint, which a cascade's modules share. */
  parameters: number;
  tokensPerSecond: number;
  flopsPerSecond: number;
}

/** Of a cascade, a session that reads (one cheap step: its answer isn't used) and one that speaks;
 * extra ticks at the end of a turn, the detectors and what isn't ours are left out. Null: it is no
 * model of ours. */
export async function paperWork(
  spec: AgentSpec,
  options: SessionOptions,
): Promise<PaperWork | null> {
  if (spec.kind === "public") return null;
  const folder = spec.kind === "cascade" ? spec.model : spec.folder;
  const headers = await openHeaders(folder).catch(() => null);
  if (headers === null) return null;
  const { config, tensors } = headers;
  const tick = async (solver: SessionOptions["solver"]) => {
    const given = { ...options, precision: "f32", ...(solver ? { solver } : {}) } as const;
    const { stages } = await tickOnPaper(config, resolveSettings(paperCheckpoint(config), given));
    return tickStages.reduce((sum, stage) => sum + sumWork(launches(stages[stage])).flops, 0);
  };
  const sessions = spec.kind === "cascade"
    ? [await tick({ ...options.solver, steps: 1, guidance: 1 }), await tick(options.solver)]
    : [await tick(options.solver)];
  const perSecond = 1000 / config.unit_ms;
  return {
    parameters: [...tensors.values()].reduce((sum, { shape }) => sum + elements(shape), 0),
    tokensPerSecond: unitLayout(config).tokens * sessions.length * perSecond,
    flopsPerSecond: sessions.reduce((sum, flops) => sum + flops, 0) * perSecond,
  };
}
