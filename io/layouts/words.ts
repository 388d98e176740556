/** What a model said unit by unit, as words with their times. */
import type { Spoken } from "../media/captions.ts";
import type { SpokenWord } from "./layout.ts";

/**
 * Joins the text of units to words: a word begins with the unit of its first letter and ends with the
 * unit of its last. Words that begin in one unit share it evenly, in their order.
 *
 * @param spoken In order; units without text may be left out.
 */
export function spokenWords(spoken: readonly Spoken[], unitMs: number): SpokenWord[] {
  const letters = spoken.flatMap(({ unit, text }) => [...text].map((letter) => ({ unit, letter })));
  const words: { text: string; first: number; last: number }[] = [];
  let isInside = false;
  for (const { unit, letter } of letters) {
    const isSpace = /[\s\p{Cc}]/u.test(letter);
    const word = words.at(-1);
    if (!isSpace && isInside && word) {
      word.text += letter;
      word.last = unit;
    } else if (!isSpace) words.push({ text: letter, first: unit, last: unit });
    isInside = !isSpace;
  }
  const begun = new Map<number, number>();
  for (const { first } of words) begun.set(first, (begun.get(first) ?? 0) + 1);
  const seconds = unitMs / 1000;
  let place = 0;
  return words.map(({ text, first, last }, i) => {
    place = words[i - 1]?.first === first ? place + 1 : 0;
    const part = 1 / (begun.get(first) ?? 1);
    const to = first === last ? first + (place + 1) * part : last + 1;
    return { text, from: (first + place * part) * seconds, to: to * seconds };
  });
}
