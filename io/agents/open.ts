/** Opens agents. */
import { resolveSettings } from "../../engine/model/settings.ts";
import { openCheckpoint } from "../../engine/mod.ts";
import type { ModelOptions } from "../cli/model_options.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { openSharedModel, sessionOptions } from "../run/open_model.ts";
import { ifThere } from "../system/errors.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { AgentSpec, OpenedAgent } from "./agent.ts";

/** What agents are opened with. */
export interface AgentOptions {
  /** How a checkpoint answers, and where it runs; its seed comes with each recording. */
  model: ModelOptions & { quiet?: boolean };
  ffmpeg: FfmpegFinder;
  /** The folder of the judges (scripts/judges), in whose environment public parts lie. */
  judges: string;
}

/**
 * Opens an agent.
 *
 * @throws InputError when its folder holds neither a checkpoint nor answers, an option doesn't fit, or
 * a part isn't installed.
 */
export async function openAgent(spec: AgentSpec, options: AgentOptions): Promise<OpenedAgent> {
  if (spec.kind === "folder") {
    if (await ifThere(Deno.stat(`${spec.folder}/config.json`)) !== null) {
      return await openModelAgent(spec, options);
    }
  }
  throw new InputError(`agent ${spec.text}: can't be opened yet`);
}

/** A checkpoint as it is: one model on its adapters, a session for each recording. */
async function openModelAgent(
  { text, folder, delay }: AgentSpec & { kind: "folder" },
  { model: given }: AgentOptions,
): Promise<OpenedAgent> {
  if (delay !== null) {
    throw new InputError(`agent ${text}: delay is about answers, and ${folder} is a checkpoint`);
  }
  const checkpoint = await openCheckpoint(folder);
  const options = { ...given, model: folder, schedule: "eager" } as const;
  const { solver, sampling, storage, weights, historyUnits } = resolveSettings(
    checkpoint,
    sessionOptions({ ...options, seed: undefined }),
  );
  const shared = await openSharedModel(checkpoint, options);
  return {
    name: text,
    line: `${folder}: one model, ${solver.name}, ${solver.steps} steps`,
    settings: { kind: "checkpoint", solver, sampling, storage, weights, historyUnits },
    checkpointDigest: checkpoint.digest,
    config: checkpoint.config,
    open: async (_, seed) => (await shared.open({ ...options, seed }, {})).session,
    close: () => shared.close(),
    processes: () => [],
  };
}
