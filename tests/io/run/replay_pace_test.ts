import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { run } from "../../../io/commands/replay.ts";
import type { Event, UnitEvent } from "../../../io/pace/events.ts";
import { echo } from "../echo_replay.ts";
import { digest, folderTest } from "../media.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { normal, random } from "../../reference/random.ts";

/** A second of noise as a WAV file: 7 units. */
async function noise(folder: string): Promise<string> {
  const path = `${folder}/in.wav`;
  const wav = await WavWriter.create(path, 16000);
  await wav.write(normal(random(1), 16000, 0.1));
  await wav.close();
  return path;
}

/** Replays with an echo that takes `delay` ms a unit; gives the response's digest, and its events. */
async function replay(folder: string, name: string, delay: number, ...args: string[]) {
  const files = [`${folder}/${name}.wav`, `${folder}/${name}.jsonl`] as const;
  const all = [`${folder}/in.wav`, "-o", files[0], "--events", files[1], ...args, "--quiet"];
  const start = performance.now();
  assertEquals(await run(all, echo(delay).open), 0);
  const lines = (await Deno.readTextFile(files[1])).trimEnd().split("\n");
  const events: Event[] = lines.map((line) => JSON.parse(line));
  const units = events.filter((event): event is UnitEvent => event.type === "unit");
  return { digest: await digest(files[0]), events, units, wall: performance.now() - start };
}

folderTest(
  "replay --pace live takes as long as a call and gives the same bytes",
  async (folder) => {
    await noise(folder);
    const max = await replay(folder, "max", 5);
    const live = await replay(folder, "live", 5, "--pace", "live");
    assertEquals(live.digest, max.digest);
    assert(live.wall >= 7 * 160, `${live.wall} ms`);
    assertEquals(live.units.map(({ observation }) => observation), Array(7).fill("given"));
    for (const { interactionMs: felt } of live.units) {
      assert(
        felt !== null && felt >= 4,
        `${felt}`,
      );
    }
    const [header] = live.events;
    assert(header?.type === "header");
    const { pace, late, network } = header.provenance.settings ?? {};
    assertEquals([pace, late, network], ["live", "wait", null]);
    const summary = live.events.at(-1);
    assert(summary?.type === "summary");
    // The work is the stages', not the time that the recording takes.
    const { wait: _, total: _t, queue: _q, ...work } = summary.latencyMs;
    const ms = live.units.flatMap((unit) => Object.keys(work).map((stage) => unit.ms[stage] ?? 0));
    const seconds = ms.reduce((sum, one) => sum + one, 0) / 1000;
    assertAlmostEquals(summary.workSeconds, Math.min(seconds, summary.wallSeconds), 0.002);
    assertAlmostEquals(summary.realTimeFactor, summary.workSeconds / summary.seconds, 0.002);
    // Seven units are all warm-up.
    assertEquals(summary.interactionMs, { p50: null, p95: null, p99: null });
  },
);

folderTest("replay --network gives the same bytes live and simulated", async (folder) => {
  await noise(folder);
  const network = ["--network", "200ms+-40ms,loss=25%,seed=2"];
  const max = await replay(folder, "max", 1, ...network);
  const live = await replay(folder, "live", 1, "--pace", "live", ...network);
  const far = (run: typeof max) => run.units.map(({ observation, heard }) => [observation, heard]);
  assertEquals(far(live), far(max));
  assertEquals(live.digest, max.digest);
  assert(far(max).some(([observation, heard]) => observation === "lost" || !heard));
  for (const { units } of [max, live]) {
    for (const { heard, interactionMs: felt } of units) {
      assertEquals(heard, felt !== null);
      if (felt !== null) assert(felt >= 160, `${felt}`);
    }
  }
});

folderTest(
  "replay --late skip answers every unit and says which it didn't hear",
  async (folder) => {
    await noise(folder);
    const { units, events } = await replay(folder, "late", 300, ...[
      "--pace",
      "live",
      "--late",
      "skip",
    ]);
    assertEquals(units.map(({ unit }) => unit), [0, 1, 2, 3, 4, 5, 6]);
    const skipped = units.filter(({ observation }) => observation === "skipped");
    assert(skipped.length > 0 && skipped.length < 7, `${skipped.length}`);
    // The echo of what wasn't heard is silence.
    for (const { audioRms, observation } of units) {
      if (observation === "skipped") assertEquals(audioRms, 0);
    }
    const summary = events.at(-1);
    assert(summary?.type === "summary");
    assertEquals(summary.skipped, skipped.length);
  },
);

folderTest("replay refuses a pace that can't be", async (folder) => {
  const wav = await noise(folder);
  const args = [wav, "-o", `${folder}/o.wav`];
  await assertRejects(() => run([...args, "--late", "skip"]), InputError, "--pace live");
  await assertRejects(() => run([...args, "--network", "fast"]), InputError, "'fast'");
});
