/** The agent's text in time: WebVTT for machines and players, ASS for burning into a picture. */

/** What the agent said in one unit. */
export interface Spoken {
  unit: number;
  text: string;
}

/** A unit's first and last moment in whole ms, inside [unit, unit + 1) x unitMs. */
function span(unit: number, unitMs: number): [start: number, end: number] {
  return [Math.ceil(unit * unitMs), Math.floor((unit + 1) * unitMs)];
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

/** WebVTT: one cue for each unit with text, which lies in that unit and holds what it said. */
export function webVtt(spoken: readonly Spoken[], unitMs: number): string {
  const cues = spoken.flatMap(({ unit, text }) => {
    const line = oneLine(text);
    if (line === "") return [];
    const [start, end] = span(unit, unitMs);
    const escaped = line.replace(
      /[&<>]/g,
      (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c] ?? c,
    );
    return [`${clock(start, 2, 3)} --> ${clock(end, 2, 3)}\n${escaped}\n`];
  });
  return ["WEBVTT\n", ...cues].join("\n");
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

/** Silence after which a new line begins, and for which the old one stays, in ms. */
const holdMs = 2000;
const lineLetters = 90;

/** ASS: what the agent is saying grows word by word in the strip, and stays a while in silence. */
export function ass(spoken: readonly Spoken[], unitMs: number, box: CaptionBox): string {
  const lines = growing(spoken, unitMs).map(({ start, end, text }) =>
    `Dialogue: 0,${clock(start, 1, 2)},${clock(end, 1, 2)},Text,,0,0,0,,${escapeAss(text)}`
  );
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

/** Runs of text with little silence in between, as captions that grow and then wait. */
function growing(spoken: readonly Spoken[], unitMs: number) {
  const captions: { start: number; end: number; text: string }[] = [];
  let line = "";
  let last = -Infinity;
  for (const { unit, text } of spoken) {
    if (text === "") continue;
    const [start, end] = span(unit, unitMs);
    const full = line.length + text.length > lineLetters && /^\s/.test(text);
    const fresh = full || start - last >= holdMs || line.length > 2 * lineLetters;
    line = fresh ? text : line + text;
    last = end;
    const before = captions.at(-1);
    if (before) before.end = Math.min(before.end, start);
    const shown = oneLine(line);
    if (shown !== "") captions.push({ start, end: end + holdMs, text: shown });
  }
  return captions;
}

/** Text that ASS would read as a command: braces begin overrides, backslashes line breaks. */
function escapeAss(text: string): string {
  return text.replace(/\\/g, "\\\u2060").replace(/[{}]/g, (brace) => `\\${brace}`);
}
