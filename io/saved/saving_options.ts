/** The options that save a run, resume it, and fork it. */
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { Durability, Snapshot } from "../../engine/mod.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { givenOptions, type Option, type Parsed } from "../cli/options.ts";
import {
  fixedOptions,
  type KeptOptions,
  keptOptions,
  readProgress,
  type SavedProgress,
  type SavingCommand,
  type SettingOptions,
  settingOptions,
  textDigest,
} from "./saved_progress.ts";
import { defaultName, SessionFolder } from "../system/session_folder.ts";

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

const defaultEvery = 25;

/** How a session is opened that isn't saved: with snapshots in memory, from which it is rebuilt when a
 * device or a Worker is lost. One costs a quarter of a tick; later units are computed again. */
export const inMemory: Durability = { snapshotEvery: defaultEvery };

/** Where a run that goes on stands. */
export interface Origin {
  snapshot: Snapshot;
  progress: SavedProgress;
  schedule: "paper" | "eager";
}

/** What the options come to. */
export interface Saving {
  folder: SessionFolder;
  name: string;
  /** Units from save to save. */
  every: number;
  /** What it goes on after; null: it begins. */
  origin: Origin | null;
  /** It goes on by itself, under another name than its origin's. */
  fork: boolean;
  /** What a resumed run takes over. */
  kept: Pick<SavedProgress, "command" | "options" | "userText">;
}

/**
 * Reads the options and what they name.
 *
 * @returns `saving`: null when nothing is saved; `options`: with what a resumed run takes over.
 * @throws InputError when options don't go together, or with what was saved.
 */
export async function chooseSaving<T extends SavingChoice & SettingOptions & KeptOptions>(
  choice: T,
  command: SavingCommand,
): Promise<{ saving: Saving | null; options: T }> {
  const { "save-session": save, resume, session = defaultName, fork, every, force } = choice;
  if (fork !== undefined && resume === undefined) {
    throw new InputError(`--fork ${fork}: there is nothing to fork: add --resume DIR`);
  }
  const path = resume ?? save;
  if (path === undefined) {
    const needs = every !== undefined ? "every" : choice.session !== undefined ? "session" : null;
    if (needs === null) return { saving: null, options: choice };
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
  const keep = async (options: KeptOptions) => ({
    command,
    options: keptOptions(options),
    userText: await textDigest(options["user-text"]),
  });
  if (resume === undefined) {
    const kept = await keep(choice);
    const saving = { folder, name, every: every ?? defaultEvery, origin: null, fork: false, kept };
    return { saving, options: choice };
  }

  const { snapshot, progress } = await folder.load(session);
  const file = `${path}/${session}.json`;
  const read = readProgress(progress, snapshot, file);
  if (fork === undefined && read.command !== command) {
    throw new InputError(
      `${file}: '${read.command}' saved it: resume it with that, or add --fork NAME`,
    );
  }
  const settings = new Fields(snapshot.meta, file, "meta.").object("settings");
  const { units, ...others } = read.options;
  // A fork has an end of its own.
  const held = fork === undefined ? { ...others, units } : others;
  const options: T = { ...choice, ...held, ...Object.fromEntries(givenOptions(choice)) };
  const kept = await keep(options);
  if (fork === undefined) {
    checkSettings(choice, settings);
    checkFixed(choice, read, kept.userText);
  }
  const schedule = settings.oneOf("schedule", ["paper", "eager"]);
  const origin = { snapshot, progress: read, schedule };
  const saving = {
    ...{ folder, name, every: every ?? read.every, origin, fork: fork !== undefined, kept },
  };
  return { saving, options };
}

/** @throws InputError that names the option, its value and the session's. */
function conflict(name: string, is: unknown, was: unknown): InputError {
  return new InputError(
    `--${name}: ${is}, but the session was saved with${
      was === undefined ? "out it" : ` ${was}`
    }: ` +
      "leave it out, or add --fork NAME",
  );
}

/** Compares with what the snapshot holds. */
function checkSettings(options: SettingOptions, settings: Fields): void {
  for (const [name, setting] of settingOptions) {
    const [field = "", inner] = setting.split(".");
    const was = inner === undefined ? settings.get(field) : settings.object(field).get(inner);
    const is = options[name];
    if (is !== undefined && is !== was) throw conflict(name, is, valueText(was));
  }
}

/** Compares with the options that were kept; of the typed text its content counts. */
function checkFixed(
  choice: KeptOptions,
  { options, userText }: SavedProgress,
  digest: string | null,
): void {
  for (const name of fixedOptions) {
    const is = choice[name];
    const same = name === "user-text" ? digest === userText : is === options[name];
    if (is !== undefined && !same) throw conflict(name, is, options[name]);
  }
  if (digest === userText) return;
  throw new InputError(
    `${
      options["user-text"]
    }: has changed since the session was saved with it: give the text as it ` +
      "was with --user-text, or add --fork NAME",
  );
}
