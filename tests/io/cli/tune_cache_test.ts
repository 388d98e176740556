import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { cachedTuning, readTuneCache, writeTuneCache } from "../../../io/cli/tune_cache.ts";
import { folderTest, names } from "../media.ts";

const entry = { chosen: "a", times: { a: 1.5, b: "wrong: NaN" } };

folderTest("a cache that isn't there is empty, and nothing is said", async (at) => {
  const lines: string[] = [];
  assertEquals(await readTuneCache(`${at}/none.json`, (line) => lines.push(line)), {});
  assertEquals(lines, []);
});

folderTest(
  "measurements come back, beside those of other runs, and no other file stays",
  async (at) => {
    const path = `${at}/a/b/tune.json`;
    await writeTuneCache(path, { gpu: { one: entry } });
    await writeTuneCache(path, { gpu: { two: entry }, other: { one: entry } });
    const record = await readTuneCache(path, () => {});
    assertEquals(record, { gpu: { one: entry, two: entry }, other: { one: entry } });
    assertEquals(await names(`${at}/a/b`), ["tune.json"]);
  },
);

folderTest("a file that is no cache is ignored with a line, then replaced", async (at) => {
  const path = `${at}/tune.json`;
  for (const text of ["", "{", "[1, 2]", "null", '"x"', "\0\0\0", `{"gpu": ${"[".repeat(5000)}`]) {
    await Deno.writeTextFile(path, text);
    const lines: string[] = [];
    assertEquals(await readTuneCache(path, (line) => lines.push(line)), {}, text.slice(0, 9));
    assertEquals(lines.length, 1);
    assertStringIncludes(lines[0] ?? "", "is no cache");
    assert(!lines[0]?.includes("\n"));
    await writeTuneCache(path, { gpu: { one: entry } });
    assertEquals(await readTuneCache(path, () => {}), { gpu: { one: entry } });
  }
});

folderTest("a cache that can't be written costs a line, not the run", async (at) => {
  const lines: string[] = [];
  await Deno.writeTextFile(`${at}/file`, "");
  const { request, keep } = await cachedTuning(`${at}/file/tune.json`, (line) => lines.push(line));
  request.begin?.("gpu");
  request.end?.("gpu", { record: { gpu: { one: entry } }, measured: 1, skipped: 2, ms: 1200 });
  await keep();
  assertEquals(lines.length, 5);
  assertStringIncludes(lines.at(-1) ?? "", "can't be written");
});

folderTest("nothing is written or said when nothing was measured", async (at) => {
  const lines: string[] = [];
  const { request, keep } = await cachedTuning(`${at}/tune.json`, (line) => lines.push(line));
  request.end?.("gpu", { record: { gpu: { one: entry } }, measured: 0, skipped: 0, ms: 1 });
  await keep();
  assertEquals([lines, await names(at)], [[], []]);
});
