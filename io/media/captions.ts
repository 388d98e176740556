/** The agent's text in time: WebVTT for machines and players, ASS for burning into a picture. */

import { valueText } from "../../engine/config/error_text.ts";
import { InputError } from "../../engine/config/errors.ts";

/** What the agent said in one unit. */
export interface Spoken {
  /** From 0 on. */
  unit: number;
  /** As it came, with the spaces between words. */
  text: string;
}

/** One line without control characters, as cues must be. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
}

/** `hours:mm:ss` and the rest of the second with this many digits. */
function clock(ms: number, hourDigits: number, digits: number): string {
  const unit = 10 ** (3 - digits);
  const whole = Math.floor(ms / unit) * unit;
  const part = (value: number, length: number) => String(Math.floor(value)).padStart(length, "0");
  return `${part(whole / 3600000, hourDigits)}:${part(whole / 60000 % 60, 2)}:` +
    `${part(whole / 1000 % 60, 2)}.${part(whole % 1000 / unit, digits)}`;
}

/** True when any unit has text that can be shown. */
export function anyText(spoken: readonly Spoken[]): boolean {
  return spoken.some(({ text }) => oneLine(text) !== "");
}

/** Silence after which a new line begins, and for which the old one stays, in ms. */
const holdMs = 2000;
const lineLetters = 90;

/** A line as it stands between two moments, in ms: all its words so far, each with its own moment. */
interface Caption {
  start: number;
  end: number;
  words: { start: number; text: string }[];
}

const captionText = ({ words }: Caption) => oneLine(words.map(({ text }) => text).join(""));

/**
 * Captions of an utterance: its words stand and grow, and stay a while in silence. Units come in
 * order; a caption is known to be complete once the next word has come or the silence has lasted.
 */
export class Captions {
  readonly #unitMs: number;
  #current: Caption | null = null;

  constructor(unitMs: number) {
    this.#unitMs = unitMs;
  }

  /** Adds what was said in a unit, silence included. @returns The caption that ended with it. */
  add({ unit, text }: Spoken): Caption | null {
    const before = this.#current;
    const start = Math.ceil(unit * this.#unitMs);
    if (oneLine(text) === "") {
      if (before && start < before.end) {
        // A space changes nothing that is seen, but it parts this word from the next.
        if (text !== "") before.words.push({ start, text });
        return null;
      }
      this.#current = null;
      return before;
    }
    const said = before?.words.reduce((sum, word) => sum + word.text.length, 0) ?? 0;
    const isFull = said + text.length > lineLetters && /^\s/.test(text);
    const goesOn = before && !isFull && start < before.end && said <= 2 * lineLetters;
    const end = Math.floor((unit + 1) * this.#unitMs) + holdMs;
    this.#current = {
      start,
      end,
      words: [...(goesOn ? before.words : []), { start, text }],
    };
    return before && { ...before, end: Math.min(before.end, start) };
  }

  /** The line that stands after the last `add`; empty where none does. */
  get line(): string {
    return this.#current ? captionText(this.#current) : "";
  }

  /** The caption that still stands at the end. */
  end(): Caption | null {
    const last = this.#current;
    this.#current = null;
    return last;
  }
}

/** All captions that show something. */
function captionsOf(spoken: readonly Spoken[], unitMs: number): Caption[] {
  const captions = new Captions(unitMs);
  const all = [
    ...spoken.filter(({ text }) => text !== "").map((s) => captions.add(s)),
    captions.end(),
  ];
  return all.filter((caption) => caption !== null && captionText(caption) !== "") as Caption[];
}

/** What begins a WebVTT file. */
export const webVttHead = "WEBVTT\n";

/**
 * A caption as a WebVTT cue, with the blank line before it. A timestamp tag before each word but the
 * first tells the unit in which it was said.
 */
export function webVttCue(caption: Caption): string {
  if (captionText(caption) === "") return "";
  const escape = (text: string) =>
    text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c] ?? c);
  const line = caption.words.map(({ start, text }, i) => {
    const plain = escape(text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " "));
    return i === 0 || plain.trim() === "" ? plain : `<${clock(start, 2, 3)}>${plain}`;
  }).join("").trim();
  return `\n${clock(caption.start, 2, 3)} --> ${clock(caption.end, 2, 3)}\n${line}\n`;
}

/**
 * WebVTT: the words of an utterance stand and grow from cue to cue, and stay a while in silence, but not
 * beyond the end of the last unit.
 *
 * @param units How many units there are.
 */
export function webVtt(spoken: readonly Spoken[], unitMs: number, units: number): string {
  if (!Array.isArray(spoken)) {
    throw new InputError(`captions: are ${valueText(spoken)}; they may be a recorder's \`spoken\``);
  }
  const last = Math.floor(units * unitMs);
  const cues = captionsOf(spoken, unitMs).map((caption) =>
    webVttCue({ ...caption, end: Math.min(caption.end, last) })
  );
  return webVttHead + cues.join("");
}

/** Where and how ASS captions are drawn, in pixels. */
export interface CaptionBox {
  width: number;
  height: number;
  /** Height of the strip at the bottom that holds the text. */
  strip: number;
  /** Names over the two pictures, and where the second begins. */
  labels: [string, string];
  second: number;
}

/** ASS: what the agent is saying grows word by word in the strip, and stays a while in silence. */
export function ass(spoken: readonly Spoken[], unitMs: number, box: CaptionBox): string {
  const lines = captionsOf(spoken, unitMs).map((caption) => {
    const times = `${clock(caption.start, 1, 2)},${clock(caption.end, 1, 2)}`;
    return `Dialogue: 0,${times},Text,,0,0,0,,${escapeAss(captionText(caption))}`;
  });
  const label = (text: string, left: number) =>
    `Dialogue: 0,0:00:00.00,9:59:59.99,Label,,${left + 8},0,6,,${escapeAss(text)}`;
  const size = Math.round(box.strip / 4);
  const margin = Math.round(box.strip / 2 - size);
  const colours = "&H00FFFFFF,&H00FFFFFF,&H00000000,&H80000000";
  return [
    "[Script Info]",
    "ScriptType: v4.00+",
    `PlayResX: ${box.width}`,
    `PlayResY: ${box.height}`,
    "WrapStyle: 0",
    "",
    "[V4+ Styles]",
    "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, " +
    "Alignment, MarginL, MarginR, MarginV, Outline, Shadow",
    `Style: Text,sans-serif,${size},${colours},2,16,16,${margin},0,0`,
    `Style: Label,sans-serif,${Math.round(size * 0.7)},${colours},7,0,0,0,1,0`,
    "",
    "[Events]",
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
    label(box.labels[0], 0),
    label(box.labels[1], box.second),
    ...lines,
    "",
  ].join("\n");
}

/** Text that ASS would read as a command: braces begin overrides, backslashes line breaks. */
function escapeAss(text: string): string {
  return text.replace(/\\/g, "\\\u2060").replace(/[{}]/g, (brace) => `\\${brace}`);
}
