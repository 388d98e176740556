/** What every command does that lets a model answer a stream: references, session, header. */
import { conditionings, type ModelConfig } from "../../engine/config/config.ts";
import type { Observation, Response, Schedule, SessionInfo } from "../../engine/mod.ts";
import { type Provenance, provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { aborted } from "../system/interrupt.ts";
import { say } from "../system/terminal.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { readPicture, readSound } from "../ends/observe.ts";
import type { PaceChoice } from "../pace/pace_options.ts";
import type { Event } from "../pace/events.ts";
import type { UnitSession } from "../pace/pump.ts";
import type { SavedRun } from "../saved/saved_run.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { readUserText, type UserText } from "../media/user_text.ts";

/** What is asked for of any run, whatever it reads and writes. */
export interface RunRequest {
  run: StartedRun;
  /** Checkpoint folder, for the header. */
  model: string;
  config: ModelConfig;
  pacing: PaceChoice;
  schedule: Schedule;
  /** Where the run is saved; null: nowhere. */
  saved: SavedRun | null;
  /** Who looks on; null: no one does. */
  onlooker: Onlooker | null;
  /** The command's options that have a meaning here. */
  options: {
    quiet: boolean;
    /** Most units; all by default. */
    units?: number | undefined;
    "user-text"?: string | undefined;
    persona?: string | undefined;
    voice?: string | undefined;
    prompt?: string | undefined;
  };
}

/** Looks on while units are answered. What it is given it must copy: buffers go on to their owners. */
export interface Onlooker {
  /** What the engine is given in a unit; in order. */
  observe(unit: number, observation: Observation): void;
  /** What it answered; in order, before the unit's event. */
  answer(response: Response): void;
  /** What is written to the events, but for what a resumed run repeats. */
  event(event: Event): void;
}

/** Reference image and voice, as a session takes them. */
export interface References {
  persona?: { frame: Uint8Array };
  voice?: Float32Array;
}

/** A session that is open, with what its events' header says of it. */
export interface OpenedSession {
  session: UnitSession;
  /** Printable facts. */
  info: Pick<SessionInfo, "placement"> & Partial<SessionInfo>;
  /** The same in one line for people. */
  line: string;
  checkpointDigest: string;
}

/** Seconds of reference voice that are read. */
const voiceSeconds = 4;

/** Reads what the user types and what the agent looks and sounds like. @throws InputError */
export async function readReferences(
  request: RunRequest,
  agent: StreamShape,
  ffmpeg: FfmpegFinder,
): Promise<{ userText: UserText; references: References }> {
  const { "user-text": typed, persona, voice } = request.options;
  const userText: UserText = typed === undefined
    ? new Map()
    : await readUserText(typed, request.config.unit_ms);
  return { userText, references: await readGiven({ persona, voice }, agent, ffmpeg) };
}

/** Reads reference image and voice from their files. @throws InputError */
export async function readGiven(
  { persona, voice }: { persona?: string | undefined; voice?: string | undefined },
  agent: StreamShape,
  ffmpeg: FfmpegFinder,
): Promise<References> {
  const references: References = {};
  if (persona !== undefined) {
    references.persona = { frame: await readPicture(persona, agent, ffmpeg) };
  }
  if (voice !== undefined) {
    references.voice = await readSound(voice, agent, voiceSeconds, ffmpeg);
  }
  return references;
}

/** A line for each option whose content the checkpoint's training never knew; none where its config
 * doesn't say what it knew. */
export function untrained(
  model: string,
  { trained_with: known = conditionings }: ModelConfig,
  options: RunRequest["options"],
): string[] {
  return conditionings.flatMap((name) => {
    const option = name === "user_text" ? "user-text" : name;
    if (options[option] === undefined || known.includes(name)) return [];
    return [`--${option}: ${model} was not trained with it: answers may be worse than without it`];
  });
}

/** Says what works here, and when it was never trained. */
export function introduce({ model, config, options }: RunRequest, { line }: OpenedSession): void {
  say(line);
  for (const warning of untrained(model, config, options)) say(warning);
  const seed = config.random_weights_seed;
  if (seed === undefined) return;
  say(`${model} has random weights (seed ${seed}), not trained ones: the response is noise`);
}

/** What is opened, unless the signal comes first: then null, and it is closed when it opens. */
export async function beforeAbort(
  opening: Promise<OpenedSession>,
  signal: AbortSignal,
): Promise<OpenedSession | null> {
  const opened = await Promise.race([opening, aborted(signal).then(() => null)]);
  if (opened === null) opening.then(({ session }) => session.close(), () => {});
  return opened;
}

/** What a run's answers come from. */
export function provenance(
  { run, model, config, pacing, options }: RunRequest,
  { info, checkpointDigest: digest }: OpenedSession,
): Promise<Provenance> {
  const { placement, thinker, performers, storage, weights, settings } = info;
  const { units, prompt, persona, voice, "user-text": userText } = options;
  return provenanceOf(run, {
    settings: {
      ...{ placement, storage, weights, ...settings, ...pacing },
      ...{ units, prompt, persona, voice, userText },
    },
    seeds: { noise: settings?.seed ?? null, network: pacing.network?.seed ?? null },
    checkpoint: { path: model, digest, randomWeightsSeed: config.random_weights_seed ?? null },
    places: thinker && { placement, thinker, performers: performers ?? [] },
  });
}
