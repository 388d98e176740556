/** Typed text with its times: lines, an array, and what is refused. */
import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { parseUserText } from "../../../io/media/user_text.ts";

Deno.test("parseUserText() reads lines and an array alike, and a byte-order mark over", () => {
  const entries = [{ at: 0.1, text: "one" }, { at: 0.15, text: "two" }, {
    at: 0.16,
    text: "three",
  }];
  const lines = entries.map((entry) => JSON.stringify(entry)).join("\n\n");
  const expected = [[0, "one two"], [1, "three"]];
  for (const content of [lines, `\uFEFF${lines}\n`, JSON.stringify(entries, null, 2), "[]"]) {
    const typed = [...parseUserText(content, "typed", 160)];
    assertEquals(typed, content === "[]" ? [] : expected);
  }
});

Deno.test("parseUserText() names the line or the entry that is wrong", () => {
  const cases = [
    ['{"at": 1, "text": "a"}\n{"at": 2}', 'typed: line 2: "text" is missing'],
    ['[{"at": 1, "text": "a"}, {"at": -1, "text": "b"}]', 'typed: entry 2: "at" is -1'],
    ["[1", "typed is no JSON"],
    ['["hello"]', 'typed: entry 1 is "hello": it should look like'],
    ["[[1]]", "typed: entry 1 is [1]: it should look like"],
    ["null", "typed: line 1 is null: it should look like"],
    ["hello", "typed: line 1 is no JSON"],
  ] as const;
  for (const [content, message] of cases) {
    assertThrows(() => parseUserText(content, "typed", 160), InputError, message);
  }
});
