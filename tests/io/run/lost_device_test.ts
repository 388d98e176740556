/** Runs of the commands that lose a device or a Worker in the middle, on a real adapter. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Session } from "../../../engine/mod.ts";
import { breakRole } from "../../engine/session/faults.ts";
import { run as runReplay } from "../../../io/commands/replay.ts";
import { run as runStream } from "../../../io/commands/stream.ts";
import type { Event, HeaderEvent } from "../../../io/pace/events.ts";
import { openModel } from "../../../io/run/open_model.ts";
import type { UnitSession } from "../../../io/pace/pump.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { listAdapters } from "../../../kernels/gpu/probe.ts";
import { normal, random } from "../../reference/random.ts";
import { digest } from "../media.ts";

const units = 12;
const quick = ["--steps", "1", "--temperature", "1", "--seed", "3", "--quiet", "--no-tune"];
const hasAdapter = (await listAdapters()).length > 0;

function adapterTest(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({
    name: hasAdapter ? name : `${name} (skipped: no WebGPU adapter on this machine)`,
    ignore: !hasAdapter,
    // Terminated Workers leave their ports behind.
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const folder = await Deno.makeTempDir({ prefix: "wanstream-test-" });
      try {
        await fn(folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

/** Opens the model as the commands do; after the response of `unit` something happens to a role. */
function breaking(unit: number, ...what: Parameters<typeof breakRole>): typeof openModel {
  return async (...args) => {
    const opened = await openModel(...args);
    const inner = opened.session as Session;
    let broken = false;
    const session: UnitSession = {
      async push(observation) {
        // A role that is quick would be through before it hears of its end.
        while (broken && inner.recoveries.length === 0) await new Promise((r) => setTimeout(r, 20));
        await inner.push(observation);
      },
      snapshot: () => inner.snapshot(),
      recoveries: inner.recoveries,
      end: () => inner.end(),
      close: () => inner.close(),
      async *[Symbol.asyncIterator]() {
        for await (const response of inner) {
          if (response.unit === unit) {
            broken = true;
            breakRole(...what);
          }
          yield response;
        }
      },
    };
    return { ...opened, session };
  };
}

async function events(path: string): Promise<Event[]> {
  return (await Deno.readTextFile(path)).trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** Asserts that the broken run's output is the whole one's, and that its events say what happened. */
async function check(folder: string, extension: string, worker: string, reason: string) {
  assertEquals(await digest(`${folder}/b${extension}`), await digest(`${folder}/a${extension}`));
  const all = await events(`${folder}/b.jsonl`);
  const [recovery, ...more] = all.filter((event) => event.type === "recovery");
  assert(recovery?.type === "recovery" && more.length === 0);
  assertStringIncludes(recovery.reason, `${worker}: `);
  assertStringIncludes(recovery.reason, reason);
  const next = all[all.indexOf(recovery) + 1];
  assert(next?.type === "unit" && recovery.unit <= next.unit && recovery.snapshot < next.unit);
  const [header] = all;
  assert(header?.type === "header");
  checkBudget(header, worker === "fused" ? "fused" : "split");
  const summary = all.at(-1);
  assert(summary?.type === "summary");
  assertEquals([summary.units, summary.ended], [units, "complete"]);
}

/** Everything that a referee asks about a latency figure. */
function checkBudget({ provenance, session }: HeaderEvent, placement: string): void {
  const { checkpoint, roles, settings, seeds } = provenance;
  assertMatch(checkpoint?.digest ?? "", /^[0-9a-f]{64}$/);
  const { pace, late, network } = settings ?? {};
  assertEquals([pace, late, network, seeds.noise], ["max", "wait", null, 3]);
  assertEquals(
    roles?.map(({ role }) => role),
    placement === "fused" ? ["both"] : ["thinker", "performer"],
  );
  assertEquals(session["placement"], placement);
  for (const { adapter } of roles ?? []) assert(adapter.length > 0);
  for (const name of ["parameters", "tokensPerUnit"]) {
    assert(Number.isInteger(session[name]) && Number(session[name]) > 0, name);
  }
  assertEquals((settings?.["solver"] as { steps: number }).steps, 1);
  assert(["paper", "eager"].includes(`${settings?.["schedule"]}`));
}

const sound = normal(random(8), units * 2560, 0.1);

adapterTest("replay goes on when its device is lost, with the bytes of a whole run", async (at) => {
  const wav = await WavWriter.create(`${at}/in.wav`, 16000);
  await wav.write(sound);
  await wav.close();
  const args = (name: string) => [
    ...[`${at}/in.wav`, "-o", `${at}/${name}.wav`, "--events", `${at}/${name}.jsonl`],
    ...["--placement", "split", ...quick],
  ];
  assertEquals(await runReplay(args("a")), 0);
  assertEquals(await runReplay(args("b"), breaking(4, "performer", "device")), 0);
  await check(at, ".wav", "performer", "device was lost");
});

adapterTest("stream goes on when its Worker dies, with the bytes of a whole run", async (at) => {
  await Deno.writeFile(`${at}/in.f32`, new Uint8Array(sound.buffer));
  const args = (name: string) => [
    ...[
      "--raw-audio",
      `${at}/in.f32`,
      "-o",
      `${at}/${name}.mkv`,
      "--events",
      `${at}/${name}.jsonl`,
    ],
    ...["--placement", "fused", ...quick],
  ];
  assertEquals(await runStream(args("a")), 0);
  assertEquals(await runStream(args("b"), breaking(5, "thinker", "worker")), 0);
  await check(at, ".mkv", "fused", "broken by a test");
});
