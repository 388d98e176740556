import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { commands } from "../main.ts";
import { InputError } from "../engine/config/errors.ts";
import { at, byHand, compare, main, outside, results } from "../scripts/published.ts";

const read = (path: string) =>
  Deno.readTextFileSync(new URL(`../${path}`, import.meta.url)).replace(/\s+/g, " ");

Deno.test("every figure of the list stands where it says, with a command that is there", () => {
  for (const { command, figures } of results) {
    assert(Object.hasOwn(commands, command.split(" ")[0] ?? ""), command);
    for (const { file, text, value } of figures) {
      assertStringIncludes(read(file), text.replace(/\s+/g, " "));
      assert(Number.isFinite(value), text);
    }
  }
  for (const { file, text } of [...byHand, ...outside]) {
    assertStringIncludes(read(file), text.replace(/\s+/g, " "));
  }
});

Deno.test("every rate that the README states is in the list", () => {
  const listed = [...results.flatMap(({ figures }) => figures), ...outside];
  const texts = listed.filter(({ file }) => file === "README.md").map(({ text }) => text);
  const rates = read("README.md").match(/\b\d+(\.\d+)? %(?! interval)/g) ?? [];
  assertEquals(rates.filter((rate) => !texts.some((text) => text.includes(rate))), []);
});

Deno.test("published refuses to agree with nothing", async () => {
  await assertRejects(() => main(["--only", "no command"]), InputError, "--list has all");
});

Deno.test("compare() takes the list's distance, or the figure's own interval", () => {
  const result = {
    figures: [{ key: "other", value: 5 }, { key: "f1", value: 0.9, interval: [0.88, 0.92] }],
    runs: [{ ms: 60 }],
  };
  const f1 = (value: number, within: number | null = null) =>
    compare({ path: "figures.f1.value", value, within }, result, true).verdict;
  assertEquals([f1(0.9), f1(0.885), f1(0.93), f1(0.93, 0.05), f1(0.885, 0)], [
    ...["agrees", "agrees", "DIFFERS", "agrees", "DIFFERS"],
  ]);
  assertEquals(at(result, "runs.0.ms"), 60);
  const ms = { path: "runs.0.ms", value: 90, within: 20 };
  assertEquals(compare(ms, result, true).verdict, "DIFFERS");
  assertEquals(compare(ms, result, false).verdict, "other machine");
  assertEquals(compare({ ...ms, path: "gone" }, result, true).verdict, "DIFFERS");
});
