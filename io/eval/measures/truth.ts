/**
 * The truth record of a recording (truth.json): what happens in it and what the agent should do, unit
 * by unit. Written by scripts/world; docs/eval.md has the layout for other recordings.
 */
import { Fields, type Range } from "../../../engine/config/config_fields.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { nearest } from "../../../engine/config/nearest.ts";
import type { Box, Mouth } from "./lips.ts";
import { wordsOf } from "./words.ts";

export interface TruthUnit {
  /** The user's voice sounds (noises don't count). */
  user: boolean;
  /** The agent's voice sounds. */
  agent: boolean;
  /** The agent's word that begins here. */
  word: string | null;
  /** What the user types here. */
  typed: string | null;
}

/** The user asks, by voice or keyboard. */
export interface Question {
  type: "question";
  /** What is asked for, e.g. "colour". */
  kind: string;
  text: string;
  typed: boolean;
  /** First unit, and the unit in which the last of its sound (or its last word typed) lies. */
  start: number;
  end: number;
  /** The sample behind its last one, at 16 kHz, where the record has it: units are 160 ms long, and
   * latencies are told in ms. */
  endSample: number | null;
  /** Pauses inside it, [from, to) in samples at 16 kHz. */
  pauses: [number, number][];
  /** It interrupts the agent. */
  interrupts: boolean;
  /** The card that it is about, where the record has it, e.g. ["red", "heart", "2"]. */
  card: string[] | null;
  /** The right answer, and the unit in which the oracle begins it. */
  words: string[];
  answer: number;
}

/** The user speaks or types while the agent speaks: a question, or a word like 'stop'. */
export interface Interruption {
  type: "interruption";
  /** The unit in which it begins. */
  onset: number;
}

/** A noise, talk in the background, or the user's 'mhm'. */
export interface Distraction {
  type: "distraction";
  kind: string;
  start: number;
  end: number;
  /** The agent is speaking and should go on. */
  during_answer: boolean;
}

/** The agent speaks first: names a card, greets. */
export interface Initiative {
  type: "naming" | "greeting";
  start: number;
  words: string[];
}

/** The user talks long. */
export interface Story {
  type: "story";
  start: number;
  end: number;
}

/** The agent would greet or name a card here, were it not told to wait. */
export interface Waiting {
  type: "waiting";
  /** "greeting" or "naming". */
  instead: string;
  start: number;
}

export type TruthEvent = Question | Interruption | Distraction | Initiative | Story | Waiting;

const promptKinds = ["brief", "sentences", "wait"] as const;

/** What the agent is told before the first unit, and how it is to talk then. */
export interface TruthPrompt {
  kind: typeof promptKinds[number];
  text: string;
}

/** What the agent ought to look like. */
export interface TruthCharacter extends Mouth {
  /** A picture of it is given. */
  given: boolean;
  boxes: Mouth["boxes"] & { eyes: Box };
  /** Characters made small, RGB [27, 48, 3], the right one first. */
  faces: Uint8Array[];
}

/** What the agent ought to sound like. */
export interface TruthVoice {
  /** A sound of it is given. */
  given: boolean;
  /** Voices that the recording has sounds of, to tell the agent's among them; 0: none. */
  among: number;
}

/** What is different from the recording `of`, whose name is that of a folder beside this one. */
export interface Swap {
  kind: "card" | "question";
  of: string;
}

export interface Truth {
  units: number;
  /** Seed of the world; null: from elsewhere. */
  seed: number | null;
  events: TruthEvent[];
  timeline: TruthUnit[];
  swap: Swap | null;
  /** Types of events that nothing is measured of. */
  otherTypes: string[];
  /** Length asked of the generator, in seconds; null: not said. */
  seconds: number | null;
  /** Of records that tell of it: what the agent is told, looks like, sounds like. */
  prompt?: TruthPrompt;
  character?: TruthCharacter;
  agentVoice?: TruthVoice;
}

/** Samples per second in which `pauses` count. */
export const truthRate = 16000;

/** Seeds of the world from here on are for evaluation. */
export const firstEvaluationSeed = 100_000;

/** Reads a truth record. @throws InputError that names the field. */
export async function readTruth(path: string): Promise<Truth> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new InputError(`${path}: there is no such file: a recording needs a truth record`);
    }
    if (error instanceof Deno.errors.NotCapable) {
      throw new InputError(`${path}: may not be read: run with Deno's --allow-read`);
    }
    throw error;
  }
  return parseTruth(text, path);
}

/** Checks a truth record's text; `path` is for messages. @throws InputError */
export function parseTruth(text: string, path: string): Truth {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputError(`${path}: this is not JSON: docs/eval.md has the layout`);
  }
  const record = new Fields(value, path);
  const units = record.whole("units", [1, 1e6]);
  const timeline = objects(record, "timeline").map((unit): TruthUnit => {
    const word = textOrNull(unit, "word");
    const read = {
      user: unit.boolean("user"),
      agent: unit.boolean("agent"),
      word: word && plainWords([word]).join(" "),
      typed: textOrNull(unit, "typed"),
    };
    if (read.word === "") throw unit.error("word", "a word with a letter or digit, or null");
    unit.refuseMisspelt();
    return read;
  });
  if (timeline.length !== units) {
    throw new InputError(`${path}: timeline has ${timeline.length} entries, but units is ${units}`);
  }
  const read = objects(record, "events").map((event) => readEvent(event, units));
  const swap = isGiven(record, "swap") ? record.object("swap") : null;
  const seed = isGiven(record, "seed") ? record.whole("seed", [0, Number.MAX_SAFE_INTEGER]) : null;
  const part = (key: string) => isGiven(record, key) ? record.object(key) : null;
  const [prompt, character, voice] = [part("prompt"), part("character"), part("agent_voice")];
  record.refuseMisspelt();
  return {
    units,
    seed,
    events: read.filter((event) => typeof event !== "string"),
    otherTypes: [...new Set(read.filter((event) => typeof event === "string"))],
    timeline,
    swap: swap && { kind: swap.oneOf("kind", ["card", "question"]), of: readText(swap, "of") },
    seconds: isGiven(record, "seconds") ? record.number("seconds", [0, 1e6]) : null,
    ...(prompt
      ? { prompt: { kind: prompt.oneOf("kind", promptKinds), text: readText(prompt, "text") } }
      : {}),
    ...(character ? { character: readCharacter(character) } : {}),
    ...(voice ? { agentVoice: readVoice(voice) } : {}),
  };
}

function readCharacter(fields: Fields): TruthCharacter {
  const [boxes, mouth] = [fields.object("boxes"), fields.object("mouth")];
  const [width = 0, height = 0] = numbers(fields, "size", 2);
  if (!(width > 0 && height > 0)) throw fields.error("size", "a width and a height in pixels");
  const box = (key: string): Box => {
    const [left = 0, right = 0, top = 0, bottom = 0] = numbers(boxes, key, 4);
    const isInside = 0 <= left && left < right && right <= width && 0 <= top && top < bottom &&
      bottom <= height;
    if (!isInside) throw boxes.error(key, "left, right, top and bottom of a part of the picture");
    return [left, right, top, bottom];
  };
  const level = (key: string) => mouth.number(key, [0, 255]);
  const [green, closed, open] = [level("green"), level("closed"), level("open")];
  if (!(open > closed)) throw mouth.error("open", `more than 'closed' (${closed})`);
  const faces = isGiven(fields, "faces") ? fields.list("faces", anyLength) : [];
  return {
    given: fields.boolean("given"),
    size: [width, height],
    boxes: { mouth: box("mouth"), eyes: box("eyes") },
    mouth: { green, closed, open },
    faces: faces.map((face) => {
      const bytes = typeof face === "string" ? fromBase64(face) : null;
      if (bytes?.length === faceBytes) return bytes;
      throw fields.error("faces", `a list of ${faceBytes} bytes each, in base64`);
    }),
  };
}

const readVoice = (fields: Fields): TruthVoice => ({
  given: fields.boolean("given"),
  among: isGiven(fields, "among") ? fields.list("among", [2, 100]).length : 0,
});

/** Null: it isn't base64. */
function fromBase64(text: string): Uint8Array | null {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
}

function numbers(fields: Fields, key: string, count: number): number[] {
  const list = fields.list(key, anyLength);
  const isNumber = (item: unknown): item is number => Number.isFinite(item);
  if (list.length === count && list.every(isNumber)) return list;
  throw fields.error(key, `a list of ${count} numbers`);
}

/** A character made small. */
export const faceSize = { width: 48, height: 27 };
const faceBytes = faceSize.width * faceSize.height * 3;

const types = [
  ...["question", "interruption", "distraction", "naming", "greeting", "story", "waiting"],
];

/** An event; its type alone where nothing is measured of it. @throws InputError when the type is nearly
 * a known one: a misspelt event would be missing in every figure. */
function readEvent(event: Fields, units: number): TruthEvent | string {
  const unit = (key: string) => event.whole(key, [0, units]);
  const span = () => {
    const start = unit("start");
    return { start, end: event.whole("end", [start, units]) };
  };
  const type = readText(event, "type");
  switch (type) {
    case "question":
      return {
        type,
        kind: readText(event, "kind"),
        text: readText(event, "text"),
        typed: event.boolean("typed"),
        ...span(),
        endSample: isGiven(event, "end_sample") ? event.whole("end_sample", [0, 1e10]) : null,
        pauses: pairs(event, "pauses"),
        interrupts: event.boolean("interrupts"),
        card: isGiven(event, "card") ? event.list("card", anyLength).map(String) : null,
        words: words(event),
        answer: unit("answer"),
      };
    case "interruption":
      return { type, onset: unit("onset") };
    case "distraction":
      return {
        type,
        kind: readText(event, "kind"),
        ...span(),
        during_answer: event.boolean("during_answer"),
      };
    case "naming":
    case "greeting":
      return { type, start: unit("start"), words: words(event) };
    case "story":
      return { type, ...span() };
    case "waiting":
      return { type, instead: readText(event, "instead"), start: unit("start") };
    default: {
      const near = nearest(type.toLowerCase(), types);
      if (near !== undefined) throw event.error("type", `"${near}": did you mean that?`);
      return type;
    }
  }
}

const anyLength: Range = [0, 1e6];

const isGiven = (fields: Fields, key: string) => (fields.get(key) ?? null) !== null;

function readText(fields: Fields, key: string): string {
  const value = fields.get(key);
  if (typeof value !== "string" || value === "") throw fields.error(key, "text");
  return value;
}

function textOrNull(fields: Fields, key: string): string | null {
  return isGiven(fields, key) ? readText(fields, key) : null;
}

function words(event: Fields): string[] {
  const list = event.list("words", anyLength);
  const isText = (item: unknown) => typeof item === "string";
  if (!list.every(isText)) throw event.error("words", "a list of words");
  return plainWords(list);
}

/** Words as those of the agent are written, so that 'Red.' is the word that it says. */
const plainWords = (texts: readonly string[]) => wordsOf([texts.join(" ")]).map(({ word }) => word);

function pairs(fields: Fields, key: string): [number, number][] {
  const list = fields.list(key, anyLength);
  const isPair = (item: unknown): item is [number, number] =>
    Array.isArray(item) && item.length === 2 && item.every(Number.isFinite) && item[0] < item[1];
  if (!list.every(isPair)) throw fields.error(key, "a list of [from, to] with from below to");
  return list;
}

function objects(fields: Fields, key: string): Fields[] {
  return fields.list(key, anyLength).map((item, i) =>
    new Fields(item, fields.where, `${fields.path}${key}[${i}].`)
  );
}
