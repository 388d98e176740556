/** The options that save a replay, resume it, and fork it. */
import { Fields } from "../engine/config_fields.ts";
import { InputError } from "../engine/errors.ts";
import type { Durability } from "../engine/mod.ts";
import { quoted } from "../engine/quoted.ts";
import type { ModelOptions } from "./model_options.ts";
import type { Option, Parsed } from "./options.ts";
import { readProgress } from "./saved_progress.ts";
import { SavedRun } from "./saved_run.ts";
import { defaultName, SessionFolder } from "./session_folder.ts";

/** The options' declarations. */
export const savingOptions = {
  "save-session": { kind: "text", value: "DIR", help: "save the run, so that it can be resumed" },
  every: { kind: "whole", min: 1, max: 1e6, help: "units from save to save (25)" },
  resume: { kind: "text", value: "DIR", help: "go on after the last save, and go on saving" },
  session: { kind: "text", value: "NAME", help: "name of what is saved or resumed (session)" },
  fork: {
    kind: "text",
    value: "NAME",
    help: "with --resume: go on under this name, with another seed or input",
  },
} as const satisfies Record<string, Option>;

type SavingChoice = Parsed<typeof savingOptions>["options"] & { force: boolean };

/** The options that change what is answered, and may only be repeated but for a fork. */
type Answering = Pick<
  ModelOptions,
  "seed" | "solver" | "steps" | "shift" | "guidance" | "temperature" | "top-k" | "top-p"
>;

const defaultEvery = 25;

/** Of a run that isn't saved: snapshots in memory, from which it outlives a lost device or Worker. One
 * costs a quarter of a tick, and what came since is answered again. */
export const inMemory: Durability = { snapshotEvery: defaultEvery };

/** Reads the options and what they name; null: nothing is saved. @throws InputError */
export async function openSavedRun(choice: SavingChoice & Answering): Promise<SavedRun | null> {
  const { "save-session": save, resume, session = defaultName, fork, every, force } = choice;
  if (fork !== undefined && resume === undefined) {
    throw new InputError(`--fork ${fork}: there is nothing to fork: add --resume DIR`);
  }
  const path = resume ?? save;
  if (path === undefined) {
    const needs = every !== undefined ? "every" : choice.session !== undefined ? "session" : null;
    if (needs === null) return null;
    throw new InputError(`--${needs}: nothing is saved: add --save-session DIR or --resume DIR`);
  }
  if (save !== undefined && resume !== undefined) {
    throw new InputError(
      "--resume and --save-session: a resumed run goes on saving where it was: give one of them",
    );
  }
  if (fork !== undefined && fork === session) {
    throw new InputError(`--fork ${fork}: is the session itself: choose another name`);
  }
  const folder = new SessionFolder(path);
  const name = fork ?? session;
  const begins = resume === undefined || fork !== undefined;
  if (begins && await folder.has(name) && !force) {
    throw new InputError(
      `${path}: holds a session '${name}': go on with --resume ${path}, add --force to replace ` +
        "it, or choose another name",
    );
  }
  if (resume === undefined) return new SavedRun(folder, name, every ?? defaultEvery, null, false);

  const { snapshot, progress } = await folder.load(session);
  const file = `${path}/${session}.json`;
  const read = readProgress(progress, snapshot, file);
  const settings = new Fields(snapshot.meta, file, "meta.").object("settings");
  if (fork === undefined) checkSame(choice, settings);
  return new SavedRun(folder, name, every ?? read.every, {
    snapshot,
    progress: read,
    schedule: settings.oneOf("schedule", ["paper", "eager"]),
  }, fork !== undefined);
}

/** @throws InputError that names the option, its value and the session's. */
function checkSame(options: Answering, settings: Fields): void {
  const solver = settings.object("solver");
  const sampling = settings.object("sampling");
  const saved: { [Name in keyof Answering]: unknown } = {
    seed: settings.get("seed"),
    solver: solver.get("name"),
    steps: solver.get("steps"),
    shift: solver.get("shift"),
    guidance: solver.get("guidance"),
    temperature: sampling.get("temperature"),
    "top-k": sampling.get("topK"),
    "top-p": sampling.get("topP"),
  };
  for (const [name, was] of Object.entries(saved)) {
    const is = options[name as keyof Answering];
    if (is === undefined || is === was) continue;
    throw new InputError(
      `--${name}: ${is}, but the session was saved with ${quoted(was)}: leave it out, or add ` +
        "--fork NAME",
    );
  }
}
