/** Sound, pictures and observations as a script gives them: checked, and copied, so that they stay the
 * script's. */
import { Fields } from "../config/config_fields.ts";
import { kindOf, valueText } from "../config/error_text.ts";
import { InputError } from "../config/errors.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { Observation, StreamShape } from "./unit.ts";

/** The checkpoint itself. @throws InputError when it isn't what `openCheckpoint` gives. */
export function givenCheckpoint(given: Checkpoint): Checkpoint {
  const { config, tensors, digest }: Partial<Checkpoint> = given ?? {};
  if (config && typeof digest === "string" && kindOf(tensors) === "Map") return given;
  const opened = "it must be what `await openCheckpoint(folder)` gives";
  throw new InputError(`checkpoint: is ${valueText(given)}; ${opened}`);
}

/** The observations themselves. @param what What messages call their reader. @throws InputError when
 * nothing can be taken from them. */
export function givenSource<T>(what: string, given: T): T {
  const source = given as Partial<Iterable<unknown> & AsyncIterable<unknown>> | null | undefined;
  if (typeof given !== "string" && (source?.[Symbol.asyncIterator] ?? source?.[Symbol.iterator])) {
    return given;
  }
  throw new InputError(
    `${what}: the observations are ${valueText(given)}; they may be a list or an iterator`,
  );
}

/** @param what What messages call its user. @throws InputError when it is no session. */
export function givenSession(
  what: string,
  given: { respond?: unknown; snapshot?: unknown } | null,
): void {
  if (typeof (given?.respond ?? given?.snapshot) === "function") return;
  throw new InputError(
    `${what}: the session is ${valueText(given)}; it may be what \`await openSession()\` gives`,
  );
}

/** What an agent gave in one unit, checked and copied. @throws InputError */
export function givenResponse(
  given: unknown,
  agent: StreamShape,
): { audio: Float32Array<ArrayBuffer>; frames: Uint8Array<ArrayBuffer> } {
  const fields = new Fields(given, "response");
  return {
    audio: givenSound("response: audio", fields.get("audio"), agent, agent.samples),
    frames: givenPictures("response: frames", fields.get("frames"), agent, agent.frames),
  };
}

/** An observation of the engine's own. */
export interface GivenObservation {
  audio: Float32Array<ArrayBuffer> | null;
  frames: Uint8Array<ArrayBuffer> | null;
  text: string;
}

/**
 * Checks and copies an observation.
 *
 * @param user The shape of observations.
 * @throws InputError that names what is wrong and what it may be.
 */
export function givenObservation(given: Observation, user: StreamShape): GivenObservation {
  const fields = new Fields(given, "observation");
  const [audio, frames, text = ""] = ["audio", "frames", "text"].map((key) => fields.get(key));
  fields.refuseOthers();
  if (typeof text !== "string") throw fields.error("text", "text");
  return {
    audio: isAbsent(audio) ? null : givenSound("observation: audio", audio, user, user.samples),
    frames: isAbsent(frames)
      ? null
      : givenPictures("observation: frames", frames, user, user.frames),
    text,
  };
}

const isAbsent = (value: unknown) => value === null || value === undefined;

/**
 * Mono samples, copied. What is over full scale is cut to [-1, 1].
 *
 * @param what What messages call them.
 * @param samples How many there must be; by default any number.
 * @throws InputError when they are no Float32Array of that length, or one isn't finite: it would spoil
 * every later unit.
 */
export function givenSound(
  what: string,
  given: unknown,
  { sampleRate, unitMs }: StreamShape,
  samples?: number,
): Float32Array<ArrayBuffer> {
  // By its name, because a Worker or a test may have a Float32Array of another realm.
  if (
    kindOf(given) !== "Float32Array" ||
    (given as Float32Array).length !== (samples ?? (given as Float32Array).length)
  ) {
    const count = samples === undefined ? "" : ` of ${samples} samples (${unitMs} ms)`;
    throw new InputError(
      `${what} is ${valueText(given)}; it may be a Float32Array${count} at ${sampleRate} Hz`,
    );
  }
  const copy = new Float32Array(given as Float32Array);
  for (let i = 0; i < copy.length; i++) {
    const sample = copy[i] ?? 0;
    if (!Number.isFinite(sample)) {
      throw new InputError(`${what}[${i}] is ${sample}; a sample may be a number from -1 to 1`);
    }
    copy[i] = Math.max(-1, Math.min(1, sample));
  }
  return copy;
}

/**
 * RGB24 pictures, copied.
 *
 * @param what What messages call them.
 * @throws InputError when they are no bytes, or no `frames` pictures of this size.
 */
export function givenPictures(
  what: string,
  given: unknown,
  { width, height }: StreamShape,
  frames: number,
): Uint8Array<ArrayBuffer> {
  const bytes = frames * width * height * 3;
  const kind = kindOf(given);
  if (
    (kind !== "Uint8Array" && kind !== "Uint8ClampedArray") ||
    (given as Uint8Array).length !== bytes
  ) {
    throw new InputError(
      `${what} is ${valueText(given)}; it may be a Uint8Array of ${bytes} bytes: ` +
        `${frames} ${frames === 1 ? "frame" : "frames"} of ${width}x${height} RGB`,
    );
  }
  return new Uint8Array(given as Uint8Array);
}
