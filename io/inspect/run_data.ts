/** What a page knows of a run: plain data, which the page holds as JSON. */
import { InputError } from "../../engine/config/errors.ts";
import type { ClockEvent, HeaderEvent, RecoveryEvent, UnitEvent } from "../pace/events.ts";
import { readError } from "../system/errors.ts";

export const runSchema = "wanstream/inspect/1";

/** A side's pictures: JPEG (base64), the unit's frames beside each other. */
export type UnitPictures = Record<"user" | "agent", string | null>;

/** Why a unit was answered as it was. */
export interface Inside {
  /** Probability that nothing is said. */
  filler: number;
  /** Of the unit's first word, in nats. */
  entropy: number;
  /** The likeliest words, likeliest first. */
  top: { token: number; text: string; probability: number }[];
  /** Parts in 10 000 of attention's mass, [queries, layers, groups, ages] of `attentionAxes`. */
  shares: number[];
  layers: number;
  path: {
    step: number;
    tau: number;
    audio: { velocity: number; guidance: number | null };
    video: { velocity: number; guidance: number | null };
  }[];
}

/** What one module of a cascade decided in a unit. */
export interface Decision {
  module: string;
  what: string;
  words?: readonly string[];
}

export interface UnitData {
  unit: number;
  /** What was typed. */
  typed: string;
  /** Of what the engine was given: sound, picture and text. */
  input: string;
  /** RMS in dB of full scale; null: digital silence, or no sound. */
  level: Record<"user" | "agent", number | null>;
  active: Record<"user" | "agent", boolean>;
  /** The answer's event. */
  event: Omit<UnitEvent, "type" | "unit">;
  /** Milliseconds of the busier role, or of all modules. */
  busyMs: number;
  /** Null: the engine doesn't tell (a cascade, recorded answers). */
  inside: Inside | null;
  /** Milliseconds by module, of a cascade. */
  modules: Record<string, number> | null;
  decisions: Decision[];
  pictures: UnitPictures;
}

/** Words of which it is known when they were said. */
export interface Said {
  /** Seconds of stream. */
  start: number;
  end: number;
  text: string;
}

export interface RunData {
  schema: typeof runSchema;
  /** What the page calls the run. */
  name: string;
  header: Omit<HeaderEvent, "type">;
  /** What a reader must know. */
  notes: string[];
  unitMs: number;
  /** Token that says nothing; null: not told. */
  filler: number | null;
  /** Frames beside each other in a unit's picture, and the size of one. */
  pictures: Record<"user" | "agent", { frames: number; width: number; height: number }>;
  /** WAV (base64): user left, agent right, from the first unit to the last. */
  wav: string;
  sampleRate: number;
  /** Without gaps. */
  units: UnitData[];
  happened: (RecoveryEvent | ClockEvent)[];
  /** What the user says, and what the agent should, where that is known. */
  said: Said[];
  right: Said[];
}

const open = '<script type="application/json" id="data">';
const close = "</script>";

/** Data as a page holds it: no text in it can end the element, or begin another. */
export function dataElement(data: object): string {
  const json = JSON.stringify(data).replaceAll("<", "\\u003c");
  return `${open}${json}${close}`;
}

/** The run that a page shows. @throws InputError when it is no page of one run. */
export async function readRun(path: string): Promise<RunData> {
  const page = await Deno.readTextFile(path).catch((error) => {
    throw readError(path, error);
  });
  const from = page.indexOf(open) + open.length;
  const runs = page.indexOf(open) < 0 ? null : runsOf(page.slice(from, page.indexOf(close, from)));
  if (runs === null) {
    throw new InputError(
      `${path}: is no page that --inspect of this version wrote: write it again`,
    );
  }
  const [run, other] = runs;
  if (run === undefined || other !== undefined) {
    throw new InputError(`${path}: shows ${runs.length} runs: give pages of one run each`);
  }
  return run;
}

/** The runs in a page's data; null where it is something else. What it says is shown, never run. */
function runsOf(json: string): RunData[] | null {
  try {
    const { runs }: { runs: RunData[] } = JSON.parse(json);
    return runs.every(isRun) ? runs : null;
  } catch {
    return null;
  }
}

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string";
const yesNo: Check = (value) => typeof value === "boolean";
const number: Check = Number.isFinite;
const positive: Check = (value) => number(value) && Number(value) > 0;
const base64: Check = (value) =>
  typeof value === "string" && value.length % 4 === 0 &&
  !/[^A-Za-z0-9+/]/.test(value.replace(/={1,2}$/, ""));
/** A header of 44 bytes and samples of two channels, 16 bits each. */
const sound: Check = (value) =>
  base64(value) && typeof value === "string" &&
  ((value.length / 4) * 3 - (/=*$/.exec(value.slice(-2))?.[0].length ?? 0)) % 4 === 0;
const orNull = (of: Check): Check => (value) => value === null || of(value);
const listOf = (of: Check): Check => (value) => Array.isArray(value) && value.every(of);
const valuesOf = (of: Check): Check => (value) =>
  typeof value === "object" && value !== null && Object.values(value).every(of);
const fields = (checks: Record<string, Check>): Check => (value) =>
  typeof value === "object" && value !== null &&
  Object.entries(checks).every(([name, of]) => of(Reflect.get(value, name)));
const sides = (of: Check): Check => fields({ user: of, agent: of });

const speed = fields({ velocity: number, guidance: orNull(number) });
const words = listOf(fields({ start: number, end: number, text }));
const unitChecks = fields({
  ...{ unit: Number.isSafeInteger, typed: text, input: text },
  ...{ level: sides(orNull(number)), active: sides(yesNo), pictures: sides(orNull(base64)) },
  event: fields({
    ...{ text, digest: text, observation: text, heard: yesNo, tokens: listOf(number) },
    ...{ historyTokens: number, interactionMs: orNull(number), ms: valuesOf(number) },
  }),
  busyMs: number,
  modules: orNull(valuesOf(number)),
  decisions: listOf(fields({
    ...{ module: text, what: text },
    words: (value) => value === undefined || listOf(text)(value),
  })),
  inside: orNull(fields({
    ...{ filler: number, entropy: number, layers: positive, shares: listOf(number) },
    top: listOf(fields({ token: number, text, probability: number })),
    path: listOf(fields({ tau: number, audio: speed, video: speed })),
  })),
});
const runChecks = fields({
  ...{ schema: (value) => value === runSchema, name: text, notes: listOf(text) },
  header: fields({ session: fields({}), provenance: fields({ seeds: fields({}) }) }),
  ...{ unitMs: positive, sampleRate: positive, filler: orNull(number), wav: sound },
  pictures: sides(fields({ frames: positive, width: positive, height: positive })),
  units: listOf(unitChecks),
  happened: listOf((value) =>
    fields({ type: text, unit: number })(value) &&
    (fields({ type: (type) => type !== "recovery" })(value) || fields({ ms: number })(value))
  ),
  ...{ said: words, right: words },
});

/** Whether a page can draw this: a page that somebody edited may hold anything. */
function isRun(run: RunData): boolean {
  if (!runChecks(run)) return false;
  const [first] = run.units;
  return first !== undefined && run.units.every(({ unit }, i) => unit === first.unit + i);
}
