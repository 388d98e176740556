import { assertEquals } from "@std/assert";
import { spokenWords } from "../../../io/layouts/words.ts";

Deno.test("words begin with their first letter's unit and end with their last letter's", () => {
  const spoken = [
    { unit: 2, text: "it" },
    { unit: 3, text: " is" },
    { unit: 4, text: "n't" },
    { unit: 7, text: " \n so far" },
    { unit: 8, text: "ther " },
    { unit: 9, text: "" },
    { unit: 10, text: "a b" },
  ];
  assertEquals(spokenWords(spoken, 1000), [
    { text: "it", from: 2, to: 3 },
    { text: "isn't", from: 3, to: 5 },
    { text: "so", from: 7, to: 7.5 },
    { text: "farther", from: 7.5, to: 9 },
    { text: "a", from: 10, to: 10.5 },
    { text: "b", from: 10.5, to: 11 },
  ]);
  assertEquals(spokenWords([], 160), []);
  assertEquals(spokenWords([{ unit: 0, text: " \u0000 " }], 160), []);
});
