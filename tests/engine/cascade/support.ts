/** What tests of the cascade share: parts without networks, and observations written as text. */
import { Cascade } from "../../../engine/cascade/cascade.ts";
import type { CascadeResponse, Parts } from "../../../engine/cascade/parts.ts";
import { presets } from "../../../engine/cascade/presets.ts";
import { silenceTimer, type TurnSettings } from "../../../engine/cascade/turns.ts";
import {
  type Observation,
  type Response,
  type StreamLayout,
  unitLayout,
} from "../../../engine/checkpoint/unit.ts";
import { tinyConfig } from "../support.ts";

export const layout: StreamLayout = unitLayout(tinyConfig());
const { samples, frames, width, height } = layout.user;
const frameBytes = width * height * 3;
export const filler = 0;

/** The windows of speech begin a turn by themselves; 0.48 s of silence end it. */
export const plain: TurnSettings = {
  ...presets.livekit,
  smoothing: 0,
  release: 0.5,
  short: "ignored",
  unasked: 0,
};

/**
 * Observations, one a word of the text: 5 letters, a window each, `x` with speech and `.` without; then
 * perhaps a digit, the card that is seen from then on (0: none); then perhaps `:typed`.
 */
export function observations(text: string): Observation[] {
  let card = 0;
  return text.trim().split(/\s+/).map((word, unit) => {
    const [, windows = "", digit, typed] = /^([x.]{5})(\d?)(?::(\w+))?$/.exec(word) ?? [];
    if (windows === "") throw new Error(`observations(): ${word}`);
    if (digit) card = Number(digit);
    const audio = new Float32Array(samples);
    for (let i = 0; i < samples; i++) if (windows[Math.floor(i / 512)] === "x") audio[i] = 0.5;
    // Units can be told apart.
    audio[0] = 0.25 + unit / 1000;
    const picture = new Uint8Array(frames * frameBytes).fill(20 * card);
    return { audio, frames: picture, ...(typed ? { text: typed } : {}) };
  });
}

/** A response that is told apart by its number. */
export function response(unit: number, text: string): Response {
  return {
    unit,
    text,
    tokens: [text === "" ? filler : 1],
    audio: new Float32Array(layout.agent.samples).fill(text === "" ? 0 : 0.5),
    frames: new Uint8Array(layout.agent.frames * layout.agent.width * layout.agent.height * 3),
    digest: `${unit} ${text}`,
    historyTokens: 1,
    stages: {
      encode: 0,
      pass: 0,
      sendSlice: 0,
      solve: 0,
      sendLatents: 0,
      decode: 0,
      queue: 0,
      wait: 0,
      total: 0,
    },
  };
}

/** Parts of which the reader reads the numbers of the units with speech, and the card's digit; the answer
 * is what was heard and seen; a word takes a unit. `closed` fills with the names of parts that are
 * closed, `looks` counts. */
export function fakeParts(seconds = 0.48): Parts & { closed: string[]; looks: () => number } {
  const closed: string[] = [];
  const close = (name: string) => () => void closed.push(name);
  const heard: string[] = [], queue: string[] = [];
  let seen = 0, looks = 0, unit = 0, isLast = false;
  return {
    closed,
    looks: () => looks,
    activity: {
      push: (sound) => Float32Array.from({ length: 5 }, (_, i) => 2 * (sound[i * 512 + 9] ?? 0)),
      close: close("activity"),
    },
    endOfTurn: { ...silenceTimer(seconds), close: close("endOfTurn") },
    reader: {
      async push({ audio, frames }) {
        const number = Math.round(1000 * ((audio?.[0] ?? 0) - 0.25));
        if (audio?.subarray(1).some((sample) => sample > 0.4)) heard.push(`${number}`);
        seen = (frames?.at(-1) ?? 0) / 20;
        await Promise.resolve();
      },
      async read() {
        await Promise.resolve();
        return heard.splice(0);
      },
      async look() {
        looks++;
        await Promise.resolve();
        return seen ? [`card${seen}`] : [];
      },
      close: close("reader"),
    },
    answerer: {
      heard: (words, card, previous) =>
        words.includes("hush") ? null : ["re", ...words, ...card, ...previous ?? []],
      unasked: (card) => ["see", ...card],
    },
    speaker: {
      say: (words) => void queue.push(...words),
      stop() {
        isLast = false;
        return queue.splice(0);
      },
      get isSpeaking() {
        return queue.length > 0 || isLast;
      },
      async next() {
        await Promise.resolve();
        const word = queue.shift() ?? "";
        isLast = word !== "";
        return response(unit++, word);
      },
      close: close("speaker"),
    },
  };
}

/** All responses to these observations. */
export async function converse(
  text: string | Observation[],
  settings: Partial<TurnSettings> = {},
  parts: Parts = fakeParts(),
): Promise<CascadeResponse[]> {
  await using cascade = new Cascade(parts, { ...plain, ...settings }, layout);
  return await answers(cascade, typeof text === "string" ? observations(text) : text);
}

/** Pushes all observations, and gives all responses. */
export async function answers(
  cascade: Cascade,
  given: Observation[],
): Promise<CascadeResponse[]> {
  const feeding = (async () => {
    for (const observation of given) await cascade.push(observation);
    cascade.end();
  })();
  const responses = await Array.fromAsync(cascade);
  await feeding;
  return responses;
}

/** Everything but times. */
export const content = (responses: CascadeResponse[]) =>
  responses.map(({ stages: _, modules: __, ...rest }) => rest);

/** What is said, unit by unit, `-` where nothing is. */
export const said = (responses: CascadeResponse[]) =>
  responses.map(({ text }) => text || "-").join(" ");
