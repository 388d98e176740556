/** The command `figures`: shards give the figures of one run; what doesn't belong together is named. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { run } from "../../../io/commands/figures.ts";
import { EventsFile, eventsSchema } from "../../../io/eval/figures/events_file.ts";
import type { RecordingResult } from "../../../io/eval/figures/recording_result.ts";
import { draw } from "../../../io/reports/report.ts";
import { provenanceOf, startRun } from "../../../io/provenance/provenance.ts";
import { madeUpBasis, result, right } from "../eval/made_up.ts";
import { captured } from "../eval/players.ts";
import { assertSchema } from "../schemas.ts";
import { folderTest } from "../media.ts";

const results = Array.from({ length: 12 }, (_, i) =>
  result(
    `${100 + i}`,
    Array.from({ length: 4 }, (_, unit) => right(unit, (i + unit) % 5 === 0 ? "" : "red", "red")),
    { seed: 100 + i },
  ));

/** Whether plots can be drawn here: npm's packages for it are there. */
const cannotDraw = await draw([]).then(() => false, () => true);

async function write(path: string, results: RecordingResult[]): Promise<string> {
  const runs = [await provenanceOf(startRun("eval"))];
  const header = { type: "header", schema: eventsSchema, unitMs: 160, runs } as const;
  using _ = await EventsFile.create(path, header, results);
  return path;
}

/** The keys of a table in docs/eval.md that stands between two texts. */
async function documented(from: string, to: string): Promise<string[]> {
  const docs = await Deno.readTextFile(new URL("../../../docs/eval.md", import.meta.url));
  const table = docs.split(from)[1]?.split(to)[0] ?? "";
  return [...table.matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, key = ""]) => key)
  ).sort();
}

async function figures(...args: string[]) {
  const { result: code, out, err } = await captured(() => run(args));
  assertEquals(code, 0, err);
  const json = out.startsWith("{") ? JSON.parse(out) : null;
  if (json !== null) assertSchema(json);
  return { out, err, json };
}

folderTest(
  "figures of shards are those of the whole, and of a subset those of its seeds",
  async (folder) => {
    const whole = await write(`${folder}/whole.jsonl`, results);
    const shards = [
      await write(`${folder}/b.jsonl`, results.slice(5)),
      await write(`${folder}/a.jsonl`, results.slice(0, 6)),
    ];
    const one = await figures(whole, "--json");
    const { json, err } = await figures(...shards, "--json");
    assertEquals([json.schema, json.recordings], ["wanstream/figures/1", 12]);
    assertEquals(json.provenance.seeds.noise, 0);
    // The keys that docs/eval.md has, all of them in every figure.
    const { sources, against, ...likeEval } = json;
    assertEquals([sources.length, against], [2, null]);
    assertEquals(Object.keys(likeEval).sort(), await documented("\n## JSON\n", "A figure:"));
    const keys = await documented("A figure:", "The events file");
    for (const row of json.figures) assertEquals(Object.keys(row).sort(), keys, row.key);
    assertEquals(json.figures, one.json.figures);
    assertStringIncludes(err, "counted once, though several files have it: 105");
    const subset = await figures(whole, "--json", "--seeds", "102..105");
    const alone = await figures(await write(`${folder}/c.jsonl`, results.slice(2, 6)), "--json");
    assertEquals(subset.json.figures, alone.json.figures);
    await assertRejects(
      () => figures(whole, "--seeds", "500"),
      InputError,
      "has no recording of the seeds 500",
    );
  },
);

const why = cannotDraw ? " (its page is skipped: plots can't be drawn here)" : "";
folderTest(`figures prints tables, CSV and Markdown, and compares${why}`, async (folder) => {
  const whole = await write(`${folder}/whole.jsonl`, results);
  const perfect = results.map((one) => ({
    ...one,
    basis: { ...madeUpBasis, settings: "better" },
    outcomes: one.outcomes.map((outcome) => ({ ...outcome, value: 1, said: "red" })),
  }));
  const other = await write(`${folder}/perfect.jsonl`, perfect);
  const { out } = await figures(whole, "--markdown");
  assertStringIncludes(out, "| questions judged | 48 |  |  | >= 300 | FALLS SHORT |");
  assert(/Made by `wanstream figures|Made by `wanstream /.test(out), out);
  const csv = (await figures(whole, "--csv")).out.split("\r\n");
  assert(csv[0]?.startsWith("key,kind,label,value,low,high,events,"), csv[0]);
  assert(csv.some((line) => line.startsWith("answersRight,,answers right,0.8125,")), csv[2]);
  const page = `${folder}/page.html`;
  const report = cannotDraw ? [] : ["--report", page];
  const compared = (await figures(other, "--against", whole, "--json", ...report)).json.against;
  if (report.length > 0) {
    const text = await Deno.readTextFile(page);
    for (const id of ["differences-rates", "figures-rates"]) {
      assert(new RegExp(`plot-${id}">[^]*?<svg `).test(text), id);
    }
    await assertRejects(() => figures(whole, ...report), InputError, "add --force");
  }
  const difference = compared.differences.find(({ key }: { key: string }) =>
    key === "answersRight"
  );
  assertEquals([difference.value, difference.isDifference], [1, true]);
  assertEquals(compared.differIn, ["other settings"]);
  assertStringIncludes((await figures(whole, "--against", other)).out, "differs");
  await assertRejects(() => figures(whole, other), InputError, "rests on other settings");
  await assertRejects(() => figures(whole, "--csv", "--json"), InputError, "takes one of them");
  await assertRejects(() => figures(), InputError, "needs an events file");
  await assertRejects(() => figures(`${folder}/none`), InputError, "no such file");
  // Files one behind the other are as good; a line that is damaged is named.
  const text = await Deno.readTextFile(whole);
  await Deno.writeTextFile(`${folder}/both.jsonl`, `${text}${text}`);
  const both = await figures(`${folder}/both.jsonl`, "--json");
  assertEquals(both.json.figures, (await figures(whole, "--json")).json.figures);
  assertEquals(both.json.sources[0].runs.length, 2);
  for (const line of ['{"type":"recording","name":"1"}', text.split("\n")[1]?.slice(0, 99)]) {
    await Deno.writeTextFile(`${folder}/bad.jsonl`, `${text}${line}\n${text}`);
    await assertRejects(
      () => figures(`${folder}/bad.jsonl`),
      InputError,
      "line 14 is damaged",
    );
  }
  // JSON that figures can't be made of is no result.
  const [header = "", first = ""] = text.split("\n");
  const wrong: [line: string, key: string, value: unknown][] = [
    [header, "unitMs", "long"],
    [header, "runs", 5],
    [first, "active", "11"],
    [first, "outcomes", { 0: 1 }],
    [first, "outcomes", [{ ...right(1, "red", "red"), value: null }]],
    [first, "basis", {}],
    [first, "rms", [1]],
  ];
  for (const [line, key, value] of wrong) {
    const changed = JSON.stringify({ ...JSON.parse(line), [key]: value });
    await Deno.writeTextFile(`${folder}/bad.jsonl`, text.replace(line, changed));
    const at = line === header ? 1 : 2;
    await assertRejects(
      () => figures(`${folder}/bad.jsonl`),
      InputError,
      `line ${at} is damaged`,
      key,
    );
  }
  await Deno.writeTextFile(`${folder}/old.jsonl`, '{"type":"header","format":1}\n');
  await assertRejects(() => figures(`${folder}/old.jsonl`), InputError, "not an events file");
});
