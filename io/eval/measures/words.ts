/** The agent's words with the units in which they begin. */

export interface Word {
  word: string;
  unit: number;
}

/**
 * Words of a text that came in pieces, a piece per unit: lower case, without punctuation. A word that
 * is spread over several pieces belongs to the unit of its first letter.
 */
export function wordsOf(pieces: readonly string[]): Word[] {
  const words: Word[] = [];
  let open: Word | null = null;
  pieces.forEach((piece, unit) => {
    for (const letter of piece.toLowerCase()) {
      if (/[\p{L}\p{N}'<>]/u.test(letter)) {
        if (open === null) words.push(open = { word: "", unit });
        open.word += letter;
      } else open = null;
    }
  });
  return words;
}

/** Units without a new word after which an answer is over: longer than any word takes. */
export const answerGap = 6;

/** What is said from unit `from` on until `until`, up to the first long break. */
export function utterance(words: readonly Word[], from: number, until: number): string[] {
  const said: string[] = [];
  let last: number | null = null;
  for (const { word, unit } of words) {
    if (unit < from) continue;
    if (unit >= until || (last !== null && unit - last > answerGap)) break;
    said.push(word);
    last = unit;
  }
  return said;
}
