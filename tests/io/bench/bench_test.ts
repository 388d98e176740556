import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { assertSchema } from "../schemas.ts";
import { adapterTest, bench, benchJson } from "./support.ts";

const names = ["kernels", "tick", "latency", "start", "long", "plan"];

Deno.test("bench lists its measurements, and each lists its options with an example", async () => {
  const { code, stdout } = await bench(["--help"]);
  assertEquals(code, 0);
  const listed = [...stdout.matchAll(/^ {2}bench (\w+) +\S/gm)].map((match) => match[1] ?? "");
  assertEquals(listed.slice(0, names.length), names);
  for (const name of listed) {
    const help = await bench([name, "--help"]);
    assertEquals([help.code, help.stderr], [0, ""], name);
    assertStringIncludes(help.stdout, `Usage: wanstream bench ${name}`);
    assert(/Examples?:\n {2}wanstream bench /.test(help.stdout), name);
  }
});

Deno.test("bench answers bad arguments with one line on stderr and exit code 2", async () => {
  const cases: [args: string[], message: string][] = [
    [["tik"], "bench tik: did you mean tick?"],
    [["constructor"], "bench constructor: known are kernels, tick"],
    [["tick", "now"], "bench tick takes no 'now'"],
    [["kernels", "--model", "x", "--preset", "nano"], "exclude each other"],
    [["tick", "--preset", "giant"], "'giant' is none of nano"],
    [["kernels", "--report", "page.pdf"], "'page.pdf' should end in .html"],
    [["latency", "--network", "soon"], "'soon' is no time"],
    [["long", "--budget-minutes", "0"], "too low"],
    [["plan"], "needs --flops and --bandwidth"],
    [["plan", "--flops", "67TFLOPS", "--bandwidth", "1T"], "'67TFLOPS' is no rate"],
    [["plan", "--flops", "0", "--bandwidth", "1T"], "'0' is no rate"],
    [["plan", "--check", "--flops", "1T"], "leave --flops out"],
    [["start", "--model", "/no/such/folder"], "/no/such/folder"],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await bench(args);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertStringIncludes(stderr, message);
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
  }
});

adapterTest("bench kernels measures every kernel of a tick beside the ceilings", async (model) => {
  const { provenance, model: facts, kernels: found } = await benchJson(["kernels", ...model]);
  assertEquals([facts.unitMs, provenance.settings.storage], [160, "f32"]);
  assert(provenance.roles[0].adapter.length > 0 && provenance.deno === Deno.version.deno);
  const { gigaflops, gigabytes, launchMs } = found.ceiling;
  assert(gigaflops > 0 && gigabytes > 0 && launchMs > 0);
  const stages = new Set(found.kernels.map(({ stage }: { stage: string }) => stage));
  assertEquals([...stages].sort(), ["decode", "encode", "pass", "solve"]);
  let sum = 0;
  for (const kernel of found.kernels) {
    const { ms, quartiles: [lower, upper], launches, flops, bytes } = kernel;
    assert(ms > 0 && lower <= ms && ms <= upper && launches >= 1, kernel.label);
    assert(Math.abs(kernel.gigaflops * ms * 1e6 - flops) <= 1e-6 * flops);
    const roof = Math.max(flops / gigaflops, bytes / gigabytes) / 1e6;
    assert(Math.abs(kernel.ceilingFraction * ms - roof) <= 1e-6 * roof);
    sum += ms * launches;
  }
  assert(Math.abs(found.tickMs - sum) < 1e-6 * sum);
  // On a CPU the layers run whole.
  const names = new Set(found.kernels.map(({ kernel }: { kernel: string }) => kernel));
  const apart = ["attention", "matmul", "qk rotary"].every((name) => names.has(name));
  assert((apart || names.has("layers")) && names.has("conv"), [...names].join());
});

adapterTest("bench measures what the model's options ask for, and says so", async (model) => {
  const asked = ["--steps", "3", "--guidance", "2", "--history-units", "7", "--seed", "5"];
  const { provenance, model: facts, kernels: found, warnings, spread } = await benchJson(
    ["kernels", ...model, ...asked],
  );
  const { settings, seeds } = provenance;
  assertEquals([settings.solver.steps, settings.solver.guidance], [3, 2]);
  assertEquals([settings.historyUnits, seeds.noise, facts.evaluationsPerUnit], [7, 5, 6]);
  assert(Array.isArray(warnings) && found.kernels.length > 0);
  for (const { values, least, median, most } of spread) {
    assert(values.length === 1 && least <= median && median <= most);
  }
});

adapterTest("bench tick measures stages, growth, placements and schedules", async (model) => {
  const options = ["--ticks", "2", "--units", "8", "--growth-units", "8"];
  const { tick, model: facts } = await benchJson(["tick", ...model, ...options]);
  for (const stage of ["encode", "pass", "solve", "decode", "tick"]) {
    assert(tick.stages.p50[stage] > 0 && tick.stages.p95[stage] >= tick.stages.p50[stage], stage);
  }
  const { withWindow, withoutWindow, bytesPerToken, line } = tick.growth;
  const units = (points: { units: number }[]) => points.map((point) => point.units);
  assertEquals(units(withWindow), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assertEquals(units(withoutWindow), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  // History stops growing at its 5 units with the window, and goes on without.
  const tokens = (points: { tokens: number }[]) => points.map((point) => point.tokens);
  const [windowed, endless] = [tokens(withWindow), tokens(withoutWindow)];
  assertEquals(windowed.slice(4), Array(5).fill(windowed[4]));
  assertEquals(windowed.at(-1), facts.seenTokens);
  const steps = endless.slice(1).map((count, i) => count - (endless[i] ?? 0));
  assertEquals(new Set(steps).size, 1, String(endless));
  // Two evaluations, the pass and two text slots read K and V of two layers, two heads of 16; but the
  // last slot's last layer only writes them.
  assertEquals(bytesPerToken, ((2 + 1 + 2) * 2 - 1) * 2 * 2 * 16 * 4);
  assert(Number.isFinite(line.slope) && line.intercept > 0);

  assertEquals(tick.readback.perTick, tick.readback.skipsSleep ? 4 : 3);
  assert(tick.readback.sleepMs > 0);
  assertEquals(tick.readback.paidMs > 0, !tick.readback.skipsSleep);
  assert(tick.encoding.recorded > 0 && tick.encoding.dispatches > 30);
  assertEquals(
    tick.runs.map((run: { placement: string; schedule: string }) =>
      `${run.placement} ${run.schedule}`
    ),
    ["fused paper", "fused eager", "split paper", "split eager"],
  );
  for (const run of tick.runs) {
    assert(run.tickMs > 0 && run.stages.solve > 0 && run.thinkerBytes > 0);
    assert(Math.abs(run.realTimeFactor - run.tickMs / 160) < 1e-9);
    assertEquals(run.performerBytes === null, run.placement === "fused");
    assertEquals(run.stages.sendSlice > 0, run.placement === "split");
  }
});

adapterTest(
  "bench latency paces live: the network's delay is in what users feel",
  async (model) => {
    const options = ["--units", "5", "--schedule", "eager", "--network", "1s"];
    const { latency } = await benchJson(["latency", ...model, ...options]);
    const [near, far] = latency.runs;
    assertEquals([near.network, far.network], [null, "1s"]);
    for (const run of latency.runs) {
      assertEquals([run.ms.length, run.units, run.lost], [5, 5, 0]);
      assert(run.p50 > 0 && run.p50 <= run.max);
      assertEquals([run.p95, run.p99], [null, null]);
    }
    assert(Math.min(...far.ms) >= 1000, `${far.ms}`);
  },
);

adapterTest("bench long gives memory and time for each minute of stream", async (model) => {
  const { long } = await benchJson(["long", ...model, "--minutes-of-stream", "0.08"]);
  assertEquals([long.units, long.ended], [30, "all of it was answered"]);
  const [minute, ...more] = long.minutes;
  assertEquals([minute.units, more.length, long.drift], [30, 0, null]);
  assert(minute.rssBytes > 1e7 && minute.tickMs > 0 && minute.p95 >= minute.p50);
  const { long: cut } = await benchJson(
    ["long", ...model, "--minutes-of-stream", "1000", "--budget-minutes", "0.01"],
  );
  assertEquals(cut.ended, "the budget was used up");
  assert(cut.units > 0 && cut.units < 1_500_000);
});

adapterTest("bench batch gives an item's overhead, and what two workers do", async (model) => {
  const options = ["--items", "2", "--units", "3", "--rounds", "1"];
  const { batch, provenance, model: facts } = await benchJson(["batch", ...model, ...options]);
  assertEquals(batch.overheadMs.values, [batch.overheadMs.median]);
  assertEquals(
    batch.runs.map(({ workers, items }: { workers: number; items: number }) => [workers, items]),
    [[1, 2], [2, 4]],
  );
  for (const run of batch.runs) {
    const seconds = (run.items * 3 * facts.unitMs) / 1000;
    assert(Math.abs(run.streamSecondsPerSecond * run.wallSeconds - seconds) < 1e-6);
  }
  assert(batch.adapterBytesPerWorker > 0 && provenance.roles.length === 1);
});

adapterTest("bench start tells where the time to the first answer goes", async (model) => {
  const { start } = await benchJson(["start", ...model, "--rounds", "1"]);
  assert(start.totalMs > 0 && start.firstTickMs > 0 && start.secondTickMs > 0);
  const sum = start.parts.reduce((all: number, { ms }: { ms: number }) => all + ms, 0);
  assert(Math.abs(sum - start.totalMs) < 1e-6);
  const names = start.parts.map(({ what }: { what: string }) => what);
  for (const name of ["deno itself", "modules", "checkpoint", "adapter", "first unit: solve"]) {
    assert(names.includes(name), name);
  }
});

adapterTest("bench plan --check puts its prediction beside the measured tick", async (model) => {
  const { code, stdout, stderr } = await bench(["plan", "--check", ...model, "--json"]);
  const result = JSON.parse(stdout);
  assertSchema(result);
  const { plan } = result;
  assertEquals([code, plan.passes], plan.passes ? [0, true] : [1, false], stderr);
  const tick = plan.stages.at(-1);
  assertEquals(tick.stage, "tick");
  const sum = plan.stages.slice(0, -1).reduce(
    (all: number, { predictedMs }: { predictedMs: number }) => all + predictedMs,
    0,
  );
  assert(Math.abs(sum - tick.predictedMs) < 1e-9 * sum);
  assert(tick.measuredMs > 0 && tick.kernelsMs > 0);
  const parts = plan.efficiency.flatMap(({ part }: { part: number | null }) => part ?? []);
  assert(parts.length > 0 && parts.every((part: number) => part > 0));
  const isSane = parts.every((part: number) => part <= 1) && Math.abs(tick.ratio - 1) <= 0.3;
  if (plan.passes) assert(isSane, plan.reason);
});
