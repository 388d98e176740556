/** An evaluation that goes on with its file: it never mixes runs, and a cut leaves no trace. */
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import type { Media } from "../../../engine/model/unit_coders.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { eventsSchema } from "../../../io/eval/figures/events_file.ts";
import type { Job } from "../../../io/eval/jobs.ts";
import type { Digests } from "../../../io/eval/recordings.ts";
import { usable } from "../../../io/eval/resume.ts";
import { assertSchema } from "../schemas.ts";
import { ffmpegTest, folderTest, names } from "../media.ts";
import { madeUpBasis, result } from "./made_up.ts";
import { evalOracle, shorten, shortenSilent } from "./players.ts";

const units = 50;

/** A codec that loses something, and more the longer a stream goes on. */
const lossyCodec = () => {
  let unit = 0;
  return {
    reset: () => void (unit = 0),
    roundTrip({ audio, frames }: Media): Promise<Media> {
      const loss = 4 + unit++ % 8;
      return Promise.resolve({
        audio: audio.map((x, i) => x * (1 - loss / 50) + 0.001 * Math.sin(i * loss)),
        frames: frames.map((x) => x - x % loss),
      });
    },
    close() {},
  };
};

ffmpegTest(
  "an eval that was cut after any recording gives the figures of an uncut one",
  async (folder) => {
    const all = ["100000", "100001"];
    for (const name of all) await shorten(name, folder, units);
    const file = `${folder}/events.jsonl`;
    const folders = all.map((name) => `${folder}/${name}`);
    const args = [folder, "--events", file, "--json", "--quiet", "--draws", "10"];
    const whole = await evalOracle(args, folders, lossyCodec());
    assertEquals([whole.code, whole.opened], [0, 2]);
    const result = JSON.parse(whole.text);
    assertSchema(result);
    const { figures, recordings, unitMs } = result;
    assertEquals([recordings, unitMs], [2, 160]);
    const [header, ...lines] = (await Deno.readTextFile(file)).trimEnd().split("\n");
    assertSchema(JSON.parse(header ?? ""));
    assertEquals(lines.map((line) => JSON.parse(line).type), [
      ...all.map(() => "recording"),
      "summary",
    ]);
    for (let kept = 0; kept <= all.length; kept++) {
      // Killed while it wrote the next line.
      const left = [header, ...lines.slice(0, kept), lines[kept]?.slice(0, 500)].join("\n");
      await Deno.writeTextFile(file, left);
      const again = await evalOracle([...args, "--resume"], folders.slice(kept), lossyCodec());
      assertEquals([again.code, again.opened], [0, all.length - kept]);
      assertEquals(JSON.parse(again.text).figures, figures, `${kept} kept`);
      const { runs } = JSON.parse((await Deno.readTextFile(file)).split("\n")[0] ?? "");
      assertEquals(runs.length, kept === all.length ? 1 : 2);
    }
  },
);

Deno.test("usable takes a result only where all that it rests on is the same", () => {
  const { recording, truth, generator, ...basis } = madeUpBasis;
  const made = { ...basis, generator: "g" };
  const job = { seconds: 20, generator: "g", digests: null, open: () => Promise.reject() };
  const jobs = ["1", "2"].map((name) => ({ ...job, name }));
  const of = (changes: object, ownJobs: Job[] = jobs) => {
    const results = ["1", "2", "3"].map((name) =>
      result(name, [], { basis: { ...madeUpBasis, ...made, ...changes } })
    );
    const header = { type: "header", schema: eventsSchema, unitMs: 160, runs: [] } as const;
    const found = usable(
      { path: "f", header: { ...header, runs: [] }, results },
      ownJobs,
      [0],
      basis,
      {},
    );
    return [found.asked, found.others].map((list) => list.map(({ name }) => name));
  };
  assertEquals(of({}), [["1", "2"], ["3"]]);
  assertEquals(of({}, jobs.slice(1)), [["2"], ["1", "3"]]);
  // A recording that is there must be the one that was run.
  const there = (digests: Digests) => jobs.map((job) => ({ ...job, digests }));
  assertEquals(of({}, there({ recording, truth })), [["1", "2"], ["3"]]);
  assertEquals(of({}, there({ recording: "other", truth })), [[], ["3"]]);
  assertEquals(of({}, there({ recording, truth: "other" })), [[], ["3"]]);
  for (const key of ["checkpoint", "settings", "program", "generator"]) {
    assertThrows(() => of({ [key]: "other" }), InputError, "f: 1 rests on ");
  }
  // The small set's file isn't a seed's, though names are the same.
  assertThrows(() => of({ generator }), InputError, "recordings from elsewhere");
});

folderTest(
  "eval --resume runs again what has changed, and refuses other settings",
  async (folder) => {
    const set = `${folder}/set`;
    const both = ["100000", "100001"].map((name) => `${set}/${name}`);
    for (const name of ["100000", "100001"]) await shortenSilent(name, set, units);
    const file = `${folder}/made/events.jsonl`;
    const args = [set, "--events", file, "--csv", "--draws", "0"];
    assertEquals((await evalOracle(args, both)).opened, 2);
    assertEquals(names(`${folder}/made`), ["events.jsonl"]);
    await assertRejects(() => evalOracle(args, []), InputError, "--resume");
    const resumed = (more: string[], folders: string[]) =>
      evalOracle([...args, "--resume", ...more], folders);

    // Defaults that are given are no other settings; a changed truth record is.
    assertEquals((await resumed(["--steps", "4", "--guidance", "1.5"], [])).opened, 0);
    const truth = `${both[1]}/truth.json`;
    const record = JSON.parse(await Deno.readTextFile(truth));
    await Deno.writeTextFile(truth, JSON.stringify({ ...record, events: [] }));
    const changed = await resumed([], both.slice(1));
    assertEquals(changed.opened, 1);
    assertStringIncludes(changed.said, "100001 is run again: its truth record has changed since");
    const user = `${both[0]}/user.wav`;
    const sound = await Deno.readFile(user);
    await Deno.writeFile(user, sound.fill(1, 1000, 2000));
    const other = await resumed([], both.slice(0, 1));
    assertStringIncludes(other.said, "100000 is run again: its recording has changed since");

    // Fewer recordings than the file holds: the figures are about those, and nothing is lost.
    const fewer = await resumed(["--limit", "1", "--json", "--csv=false"], []);
    assertEquals(JSON.parse(fewer.text).recordings, 1);
    assertStringIncludes(fewer.said, "1 of its results is of other recordings or seeds");
    assertEquals((await resumed([], [])).opened, 0);
    // Another seed of the noise is another result.
    const seeds = await resumed(["--seed", "0..1", "--json", "--csv=false"], both);
    const { noiseSeeds, figures } = JSON.parse(seeds.text);
    assertEquals([seeds.opened, noiseSeeds], [2, [0, 1]]);
    const f1 = figures.find(({ key }: { key: string }) => key === "activityF1");
    assertEquals(f1.perNoiseSeed, { values: [f1.value, f1.value], deviation: 0 });

    const refused: [string[], string][] = [
      [["--steps", "2"], "other settings (solver.steps 4, now 2)"],
      [["--history-units", "20"], "other settings (historyUnits 40, now 20)"],
    ];
    for (const [more, message] of refused) {
      await assertRejects(() => resumed(more, []), InputError, message);
    }
    await assertRejects(
      () => evalOracle(["--seeds", "100000", "--events", file, "--resume"], []),
      InputError,
      "rests on recordings from elsewhere",
    );
  },
);

folderTest("eval says when a truth record is shorter than its recording", async (folder) => {
  await shortenSilent("100000", folder, units);
  const truth = `${folder}/100000/truth.json`;
  const record = JSON.parse(await Deno.readTextFile(truth));
  const timeline = record.timeline.slice(0, 20);
  await Deno.writeTextFile(truth, JSON.stringify({ ...record, units: 20, timeline, events: [] }));
  await assertRejects(
    () => evalOracle([folder], [`${folder}/100000`]),
    InputError,
    "has 50 whole units, but its truth record has 20",
  );
});
