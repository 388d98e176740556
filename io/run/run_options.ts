/** The options that every run has, and what they come to. */
import { openConfig } from "../../engine/checkpoint/checkpoint.ts";
import { modelOptions } from "../cli/model_options.ts";
import { ffmpegOption, type Option, type Parsed } from "../cli/options.ts";
import { choosePace, paceOptions } from "../pace/pace_options.ts";
import type { SavingCommand } from "../saved/saved_progress.ts";
import { SavedRun } from "../saved/saved_run.ts";
import { chooseSaving, inMemory, savingOptions } from "../saved/saving_options.ts";
import type { StartedRun } from "../provenance/provenance.ts";
import { type openModel, ownModel } from "./open_model.ts";
import type { OpenedSession, References, RunRequest } from "./run_model.ts";

/** The options' declarations. */
export const runOptions = {
  ...modelOptions,
  ...paceOptions,
  ...savingOptions,
  events: { kind: "text", value: "FILE", help: "what happens, as JSON lines" },
  inspect: {
    kind: "text",
    value: "FILE",
    help: "a page that shows how each unit was answered (.html)",
  },
  "inspect-last": {
    kind: "whole",
    min: 1,
    max: 900,
    value: "SECONDS",
    help: "how much of the stream's end the page holds (120)",
  },
  ...ffmpegOption,
  force: { kind: "flag", help: "replace files that exist" },
  quiet: { kind: "flag", help: "say nothing but errors" },
} as const satisfies Record<string, Option>;

type RunOptions = Parsed<typeof runOptions>["options"];

/**
 * Reads the options of a run and what they name; the caller disposes of `saved`.
 *
 * @param openWith Opens the model.
 * @param run What its provenance begins with.
 * @returns The request, the options with what a resumed run takes over, and how to open the session.
 * @throws InputError when options don't go together, or with what was saved.
 */
export async function prepareRun<T extends RunOptions>(
  asked: T,
  command: SavingCommand,
  openWith: typeof openModel,
  run: StartedRun,
): Promise<{
  request: RunRequest;
  options: T;
  open: (references: References) => Promise<OpenedSession>;
}> {
  const { saving, options } = await chooseSaving(asked, command);
  const saved = saving && new SavedRun(saving);
  saved?.checkUnits(options.units);
  const pacing = choosePace(options);
  const model = options.model ?? await ownModel();
  const schedule = options.schedule ?? saving?.origin?.schedule ??
    (command === "stream" ? "eager" : "paper");
  const config = await openConfig(model);
  const inspect = options.inspect !== undefined;
  const durability = { ...(saved?.durability ?? inMemory), untilExit: true, inspect };
  return {
    request: { run, model, config, pacing, schedule, saved, onlooker: null, options },
    options,
    open: (references) => openWith(model, { ...options, schedule }, references, durability),
  };
}
