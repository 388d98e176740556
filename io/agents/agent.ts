/** An agent by its name: a checkpoint, a cascade with its settings, or answers that others recorded. */
import { type PresetName, presets } from "../../engine/cascade/presets.ts";
import type { ProgramWork } from "../score/silero.ts";
import type { StageTimes } from "../../engine/checkpoint/unit.ts";
import type { ModelConfig } from "../../engine/config/config.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { InputError } from "../../engine/config/errors.ts";
import { nearest } from "../../engine/config/nearest.ts";
import type { Truth } from "../eval/measures/truth.ts";
import type { UnitSession } from "../pace/pump.ts";

/** What tells when the user's turn is over. */
export type TurnEnd = { by: "silence"; seconds: number } | { by: "smart" } | { by: "oracle" };

/** A cascade's settings as its name gives them. */
export interface CascadeChoice {
  /** Who tells speech. */
  activity: "silero" | "level";
  /** Whose settings the rest are. */
  preset: PresetName;
  /** As the preset's framework ships it, where the name doesn't say: Smart Turn with Pipecat's. */
  end: TurnEnd;
  /** Seconds of speech that stop the agent; null: the preset's. */
  bargeIn: number | null;
}

/** What a name means. `text` is the name as it was given. */
export type AgentSpec =
  | { kind: "cascade"; text: string; model: string; choice: CascadeChoice }
  /** `model` sees the cards and lends its face; null: the modules that come with the program. */
  | { kind: "public"; text: string; model: string | null; choice: CascadeChoice }
  /** A checkpoint, or a folder of answers; `delay`: seconds by which answers are heard later than
   * their files say, null: as `score` takes it (replays: one unit; others: 0). */
  | { kind: "folder"; text: string; folder: string; delay: number | null };

/** What an agent answers to. */
export interface AgentRecording {
  name: string;
  /** What happens in it; null: unknown, so that there is no oracle. */
  truth: Truth | null;
}

/** A session of an agent's. */
export interface AgentSession extends UnitSession {
  /** Of answers that others recorded, once they were read: what can't be known of them. */
  readonly lacks?: { words: boolean; picture: boolean };
}

/** An agent that is open for one recording after the other, or several at a time. */
export interface OpenedAgent {
  /** As it was given. */
  name: string;
  /** What it is made of, for people: one line. */
  line: string;
  /** All that shapes its answers, for provenance. */
  settings: Record<string, unknown>;
  /** Of what its answers rest on: the checkpoint, or the files of the answers. */
  checkpointDigest: string;
  /** Observations and responses have the shapes of this config (`streamShapes`). */
  config: ModelConfig;
  /** Opens a session. @param seed Of noise and sampling. @throws InputError when it needs a truth
   * record that isn't there, or has no answer to this recording. */
  open(recording: AgentRecording, seed: number): Promise<AgentSession>;
  /** Ends its sessions and programs. */
  close(): Promise<void>;
  /** The work of its own programs, which counts beside this one's. @throws RunError when one has ended. */
  programs(): Promise<ProgramWork[]>;
}

const cascadeKeys = ["activity", "preset", "end", "barge-in"] as const;
const publicKeys = [...cascadeKeys, "model"] as const;
const folderKeys = ["delay"] as const;

/**
 * Reads an agent's name: `FOLDER` (a checkpoint), `FOLDER[,delay=SECONDS]` (answers),
 * `cascade:FOLDER[,KEY=VALUE...]` or `cascade:public[,KEY=VALUE...]` with the keys
 * `activity=silero|level`, `preset=livekit|livekit-literal|pipecat`,
 * `end=silence:SECONDS|smart|oracle` and `barge-in=SECONDS`; the public one also has `model=FOLDER`.
 *
 * @throws InputError when it isn't one.
 */
export function parseAgent(text: string): AgentSpec {
  const isCascade = text.startsWith("cascade:");
  const [folder = "", ...parts] = text.slice(isCascade ? "cascade:".length : 0).split(",");
  if (folder === "") {
    throw new InputError(
      `agent ${
        valueText(text)
      }: names no folder; it may be FOLDER, cascade:FOLDER or cascade:public`,
    );
  }
  const isPublic = isCascade && folder === "public";
  const keys = isPublic ? publicKeys : isCascade ? cascadeKeys : folderKeys;
  const given = settingsOf(text, parts, keys);
  if (!isCascade) {
    const delay = given.get("delay");
    return {
      ...{ kind: "folder", text, folder },
      delay: delay === undefined ? null : seconds(text, "delay", delay, [0, 60]),
    };
  }
  const choice = choiceOf(text, given, isPublic ? "pipecat" : "livekit");
  return isPublic
    ? { kind: "public", text, model: given.get("model") ?? null, choice }
    : { kind: "cascade", text, model: folder, choice };
}

function settingsOf(
  text: string,
  parts: readonly string[],
  keys: readonly string[],
): Map<string, string> {
  const given = new Map<string, string>();
  for (const part of parts) {
    const at = part.indexOf("=");
    const key = at < 0 ? part : part.slice(0, at);
    if (!keys.includes(key)) {
      const near = nearest(key, keys);
      throw wrong(text, key, near === undefined ? keys.join(", ") : `${near}: did you mean that?`);
    }
    if (at < 0) throw wrong(text, key, `${key}=VALUE`);
    if (given.has(key)) throw new InputError(`agent ${valueText(text)}: gives ${key} twice`);
    given.set(key, part.slice(at + 1));
  }
  return given;
}

function choiceOf(
  text: string,
  given: ReadonlyMap<string, string>,
  usual: PresetName,
): CascadeChoice {
  const one = <T extends string>(key: string, values: readonly T[], none: T): T => {
    const value = given.get(key);
    if (value === undefined) return none;
    const found = values.find((known) => known === value);
    if (found === undefined) throw wrong(text, `${key}=${value}`, values.join(", "));
    return found;
  };
  const names = Object.keys(presets) as PresetName[];
  const preset = one("preset", names, usual);
  const [end, bargeIn] = [given.get("end"), given.get("barge-in")];
  const shipped = preset === "pipecat" ? "smart" : `silence:${presets[preset].stop}`;
  return {
    activity: one("activity", ["silero", "level"], "silero"),
    preset,
    end: endOf(text, end ?? shipped),
    bargeIn: bargeIn === undefined ? null : seconds(text, "barge-in", bargeIn, [0, 10]),
  };
}

function endOf(text: string, end: string): TurnEnd {
  if (end === "smart" || end === "oracle") return { by: end };
  const [name, time, more] = end.split(":");
  if (name !== "silence" || time === undefined || more !== undefined) {
    throw wrong(text, `end=${end}`, "silence:SECONDS, smart, oracle");
  }
  return { by: "silence", seconds: seconds(text, "end=silence", time, [0, 10]) };
}

function seconds(text: string, key: string, value: string, [low, high]: [number, number]): number {
  const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN;
  if (number >= low && number <= high) return number;
  throw wrong(text, `${key} ${value}`, `seconds from ${low} to ${high}`);
}

const wrong = (text: string, what: string, may: string) =>
  new InputError(`agent ${valueText(text)}: ${valueText(what)} may be ${may}`);

/** Stages of a response that no model of ours made. */
export const noTimes: StageTimes = {
  ...{ encode: 0, pass: 0, sendSlice: 0, solve: 0, sendLatents: 0, decode: 0 },
  ...{ queue: 0, wait: 0, total: 0 },
};
