/**
 * The world's rules from text to text: what is asked, by the words that tell one kind of question from
 * another, and the answer about the card. Phrasings stand in scripts/world/words.py and aren't repeated
 * here; answers are as there.
 */
import type { Answerer } from "../../engine/cascade/parts.ts";

/** What a question asks for. */
export type QuestionKind = "colour" | "shape" | "both" | "count" | "before";

/** The words that tell it. Recognizers write American English too. */
const keys = new Map<string, QuestionKind>([
  ["colour", "colour"],
  ["color", "colour"],
  ["shape", "shape"],
  ["many", "count"],
  ["before", "before"],
  ["what", "both"],
]);

/** Words that take back what was asked before them. */
const stops = ["stop", "wait"];

/**
 * What is asked: the last word that tells a kind counts, so that 'what' alone asks for the whole card and
 * 'what ... colour' for its colour; null: nothing is.
 *
 * @param words Of one or more pieces, however they are written.
 */
export function questionKind(words: readonly string[]): QuestionKind | null {
  let kind: QuestionKind | null = null;
  for (const word of words.join(" ").toLowerCase().match(/\p{L}+/gu) ?? []) {
    if (stops.includes(word)) kind = null;
    // 'What was it': what was before; a story's 'it was' is none.
    else if (word === "was" && kind === "both") kind = "before";
    else kind = keys.get(word) ?? kind;
  }
  return kind;
}

/** The agent's words; null: the card doesn't tell. Cards are [colour, shape, number] in words. */
function answer(
  kind: QuestionKind,
  [colour, shape, number]: readonly string[],
  previous: readonly string[] | null,
): string[] | null {
  const [colourBefore, shapeBefore] = previous ?? [];
  const said = {
    colour: ["it", "is", colour],
    shape: ["it", "is", "a", shape],
    both: ["it", "is", "a", colour, shape],
    count: ["there", number === "one" ? "is" : "are", number],
    before: ["it", "was", "a", colourBefore, shapeBefore],
  }[kind];
  const known = said.filter((word) => word !== undefined);
  return known.length === said.length ? known : null;
}

/** Answers questions about cards, and names a card that was not talked about. */
export const showAndTell: Answerer = {
  heard(words, card, previous) {
    const kind = questionKind(words);
    return kind && answer(kind, card, previous);
  },
  unasked([colour, shape]) {
    return colour === undefined || shape === undefined ? null : ["i", "see", "a", colour, shape];
  },
};
