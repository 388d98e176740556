/** The world's rules, over everything that the world says. */
import { assert, assertEquals } from "@std/assert";
import { questionKind, showAndTell } from "../../../io/agents/show_and_tell.ts";
import { smallSet } from "../eval/players.ts";

const source = await Deno.readTextFile(
  new URL("../../../scripts/world/words.py", import.meta.url),
);

/** A table of words.py, which is JSON but for its last commas and its tuples. */
function table<T>(name: string): T {
  const [, text = ""] = new RegExp(`^${name} = ([\\[{][\\s\\S]*?[\\]}])\n`, "m").exec(source) ?? [];
  return JSON.parse(text.replace(/\s*#.*$/gm, "").replace(/,(\s*[\]}])/g, "$1"));
}

const questions = table<Record<string, string[][]>>("QUESTIONS");
const typed = table<Record<string, string[]>>("TYPED");
const others = [
  ...table<string[]>("STOPS"),
  ...table<string[]>("BACKGROUND"),
  ...table<string[]>("MHM"),
  ...table<string[][]>("STORIES").flatMap((pieces) => [...pieces, pieces.join(" ")]),
];
const numbers = table<string[]>("NUMBERS");
const kindOf = (text: string) => questionKind(text.split(" "));

Deno.test("every phrasing is understood, whole and cut at every pause", () => {
  const whole = Object.entries(questions).flatMap(([kind, options]) =>
    options.map((pieces) => ({ kind, pieces }))
  );
  assert(whole.length > 25);
  for (const { kind, pieces } of whole) {
    assertEquals(kindOf(pieces.join(" ")), kind, pieces.join(" "));
    // As recognizers write it.
    const written = `${pieces.join(", ")}?`.replaceAll("colour", "color").toUpperCase();
    assertEquals(questionKind([written]), kind, written);
    for (let at = 1; at < pieces.length; at++) {
      const [first, rest] = [pieces.slice(0, at).join(" "), pieces.slice(at).join(" ")];
      // What comes before a pause may be another whole question, or none yet.
      const own = whole.find((one) => one.pieces.join(" ") === first)?.kind;
      assert([null, kind, own].includes(kindOf(first)), first);
      assert([null, kind].includes(kindOf(rest)), rest);
      // What was read of both pieces is joined; a recognizer may hear a word twice.
      assertEquals(kindOf(`${first} ${pieces.join(" ")}`), kind);
    }
  }
  for (const [kind, texts] of Object.entries(typed)) {
    for (const text of texts) assertEquals(kindOf(text), kind, text);
  }
});

Deno.test("what is no question has no answer, before a question or alone", () => {
  assert(others.length > 25);
  for (const text of others) {
    assertEquals(kindOf(text), null, text);
    for (const [kind, [phrase = ""]] of Object.entries(typed)) {
      assertEquals(kindOf(`${text} ${phrase}`), kind, `${text} ${phrase}`);
    }
    assertEquals(showAndTell.heard(text.split(" "), ["red", "star", "one"], null), null);
  }
  assertEquals(kindOf("how many stop it"), null);
});

Deno.test("answers are the world's", async () => {
  let checked = 0;
  for (const { name } of Deno.readDirSync(smallSet)) {
    const path = `${smallSet}/${name}/truth.json`;
    const text = await Deno.readTextFile(path).catch(() => null);
    if (text === null) continue;
    const { events, swap } = JSON.parse(text);
    if (swap) continue;
    const words = (card: [string, string, number] | null) =>
      card && [card[0], card[1], numbers[card[2] - 1] ?? ""];
    for (const event of events) {
      if (event.type === "question") {
        const [card, previous] = [words(event.card) ?? [], words(event.previous)];
        assertEquals(showAndTell.heard(event.text.split(" "), card, previous), event.words, path);
        checked++;
      } else if (event.type === "naming") {
        assertEquals(showAndTell.unasked(words(event.card) ?? []), event.words);
        checked++;
      }
    }
  }
  assert(checked > 10, `${checked}`);
});

Deno.test("of what the card doesn't tell nothing is said", () => {
  assertEquals(showAndTell.heard(["what", "colour"], [], null), null);
  assertEquals(showAndTell.heard(["how", "many"], ["red", "star"], null), null);
  assertEquals(showAndTell.heard(["and", "before"], ["red", "star", "one"], null), null);
  assertEquals(showAndTell.heard(["how", "many"], ["red", "star", "one"], null), [
    ...["there", "is", "one"],
  ]);
  assertEquals(showAndTell.unasked(["red"]), null);
});
