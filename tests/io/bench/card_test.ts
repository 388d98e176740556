import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { firstSteps, type Need, tickSteps, wrongForms } from "../../../io/bench/card/plan.ts";
import {
  type Clock,
  type Item,
  type Message,
  runSteps,
  type Step,
  type StepProcess,
  type StepRecord,
} from "../../../io/bench/card/steps.ts";
import { forms, timesOf } from "../../../io/bench/card/work.ts";
import { productProblem } from "../../../kernels/measure/tune_matmul.ts";
import { type Problem, type Trial, tune, withoutVariants } from "../../../kernels/measure/tune.ts";
import { withGpu } from "../../kernels/support.ts";
import { assertSchema, assertType } from "../schemas.ts";
import { adapterTest } from "./support.ts";

/** A clock that stands still unless a test moves it. */
class TestClock implements Clock {
  #now = 0;
  #alarms = new Set<{ at: number; call: () => void }>();
  now = () => this.#now;
  after(seconds: number, call: () => void) {
    const alarm = { at: this.#now + seconds, call };
    this.#alarms.add(alarm);
    return () => void this.#alarms.delete(alarm);
  }
  pass(seconds: number) {
    this.#now += seconds;
    for (const alarm of [...this.#alarms].filter(({ at }) => at <= this.#now)) {
      this.#alarms.delete(alarm);
      alarm.call();
    }
  }
}

/** What a process of a test says: items, or seconds that pass before the next; "die" ends it, "hang"
 * lasts until it is killed. */
type Script = readonly (string | number | Message)[];

/** Runs steps whose processes follow scripts. */
async function runScripts(
  steps: Step[],
  scripts: (step: string, known: readonly Item[]) => Script,
  { before = [], budgetSeconds = 100 }: { before?: StepRecord[]; budgetSeconds?: number } = {},
) {
  const clock = new TestClock();
  const started: string[] = [];
  const kept: string[] = [];
  const start = ({ step, items }: Readonly<StepRecord>): StepProcess => {
    started.push(step);
    const killed = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<string | null>();
    let isKilled = false;
    async function* messages(): AsyncGenerator<Message> {
      for (const said of scripts(step, items)) {
        if (said === "die") return ended.resolve("it died");
        if (said === "hang") {
          clock.pass(1000);
          await killed.promise;
        } else if (typeof said === "number") clock.pass(said);
        else if (typeof said !== "string") yield said;
        if (isKilled) return ended.resolve("killed");
      }
      ended.resolve(null);
    }
    return {
      messages: messages(),
      ended: ended.promise,
      kill() {
        isKilled = true;
        killed.resolve();
      },
    };
  };
  const records = await runSteps(() => steps, before, {
    budgetSeconds,
    clock,
    start,
    keep: (all) => Promise.resolve(void kept.push(JSON.stringify(all))),
    show: () => Promise.resolve(),
  });
  return { records, started, kept };
}

const step = (name: string, more: Partial<Step> = {}): Step => ({
  ...{ name, boundSeconds: 30, needsSeconds: 10, itemSeconds: null },
  ...more,
});
const item = (name: string): Message[] => [{ begin: name }, { item: name, value: { of: name } }];
const states = (records: StepRecord[]) => records.map(({ step, state }) => `${step} ${state}`);

Deno.test("runSteps() stops a step over its bound, names it and what was under way, and goes on", async () => {
  const { records } = await runScripts(
    [step("a"), step("b")],
    (name) => name === "a" ? [...item("x"), { begin: "y" }, "hang"] : item("z"),
    { budgetSeconds: 5000 },
  );
  assertEquals(states(records), ["a stopped", "b done"]);
  const [a] = records;
  assertEquals([a?.reason, a?.underWay], ["over its bound of 30 s", "y"]);
  assertEquals(a?.items, [{ name: "x", of: "x" }]);
});

Deno.test("runSteps() starts nothing that can't finish in what is left, and says so", async () => {
  const { records, started } = await runScripts(
    [step("a"), step("large", { needsSeconds: 60 }), step("small")],
    () => [25, ...item("x")],
    { budgetSeconds: 70 },
  );
  assertEquals(started, ["a", "small"]);
  assertEquals(states(records), ["a done", "large not started", "small done"]);
  assertEquals(records[1]?.reason, "it needs about 60 s, and 45 s are left");
  // A step's bound is what is left, where that is less.
  const short = await runScripts([step("a", { boundSeconds: 500 })], () => item("x"));
  assertEquals(short.records[0]?.boundSeconds, 100);
});

Deno.test("runSteps() goes on after a kill: done steps aren't run, items that are known aren't asked for", async () => {
  const steps = [step("a"), step("b", { itemSeconds: 5 }), step("c")];
  const scripts = (name: string, known: readonly Item[]): Script =>
    name !== "b"
      ? item(name)
      : ["x", "y", "z"].filter((one) => !known.some(({ name }) => name === one)).flatMap(item);
  const whole = await runScripts(steps, scripts);
  assertEquals(states(whole.records), ["a done", "b done", "c done"]);
  // Killed after any of its writes, the run leaves what the next one goes on from.
  for (const text of whole.kept) {
    const before: StepRecord[] = JSON.parse(text);
    const done = before.filter(({ state }) => state === "done").map(({ step }) => step);
    const { records, started } = await runScripts(steps, scripts, { before });
    assertEquals(started, steps.map(({ name }) => name).filter((name) => !done.includes(name)));
    assertEquals(
      records.map(({ items }) => items),
      whole.records.map(({ items }) => items),
    );
  }
});

Deno.test("runSteps() leaves out an item that a process dies or hangs of, and runs the others", async () => {
  for (const end of ["die", "hang"]) {
    const { records, started } = await runScripts(
      [step("a", { itemSeconds: 5, boundSeconds: 4000 })],
      (_, known) =>
        known.length > 0 ? item("y") : [...item("w"), { begin: "x" }, end, ...item("y")],
      { budgetSeconds: 5000 },
    );
    assertEquals(started, ["a", "a"]);
    assertEquals(states(records), ["a done"]);
    const failed = end === "die" ? "it died" : "it took longer than 5 s";
    assertEquals(records[0]?.items, [
      { name: "w", of: "w" },
      { name: "x", failed },
      { name: "y", of: "y" },
    ]);
  }
});

const record = (step: string, items: Item[]): StepRecord => ({
  ...{ step, state: "done", reason: null, underWay: null, boundSeconds: 1, seconds: 1 },
  items,
});

Deno.test("wrongForms() names a form that is wrong or fatal at any shape", () => {
  const forms = record("forms", [
    { name: "matmul 3x4x4 f16 buffers: tiles", form: "matmul f16: tiles", right: true },
    { name: "matmul 7x4x4 f16 buffers: tiles", form: "matmul f16: tiles", right: false },
    { name: "matmul 7x4x4 f16 buffers: rows", form: "matmul f16: rows", right: true },
    { name: "attention 7 rows, 9 slots, f32: tiles 64 x 32", failed: "it died" },
  ]);
  assertEquals(wrongForms([forms]), ["matmul f16: tiles", "attention f32: tiles 64 x 32"]);
});

Deno.test("tickSteps() puts nano and v0.1-0.6b first, then what is forecast to be quickest", () => {
  const needs: Need[] = [
    { preset: "v0.2-1.7b", parameters: 2e9, seconds: 0.5 },
    { preset: "v0.1-0.6b-32x", parameters: 7e8, seconds: 0.01 },
    { preset: "v0.1-0.6b", parameters: 7e8, seconds: 0.05 },
    { preset: "nano", parameters: 1e6, seconds: 0.001 },
  ];
  const names = (records: StepRecord[]) => tickSteps(records, needs).map(({ name }) => name);
  const order = ["nano", "v0.1-0.6b", "v0.1-0.6b-32x", "v0.2-1.7b"].map((name) => `ticks ${name}`);
  assertEquals(names([]), order);
  // A preset that reached little makes the forecast of the others longer.
  const ticks = (tick: number) =>
    record("ticks nano", [
      { name: "choice of kernels", seconds: 20 },
      { name: "first ticks", seconds: 5 },
      { name: "tick 1", tick },
    ]);
  const forecast = (tick: number) => tickSteps([ticks(tick)], needs)[3]?.needsSeconds ?? NaN;
  assert(Number.isFinite(forecast(100)) && forecast(1000) > 5 * forecast(100));
  assert(tickSteps([], needs).every((one) => one.boundSeconds > one.needsSeconds));
});

Deno.test("the first steps fit into the default budget with the first preset behind them", () => {
  const most = firstSteps.reduce((sum, { boundSeconds }) => sum + boundSeconds, 0);
  assert(most < 0.7 * 8 * 60);
});

adapterTest(
  "bench-gpu writes its schema, and the same command runs only what isn't done",
  async () => {
    const root = new URL("../../../", import.meta.url).pathname;
    const folder = await Deno.makeTempDir();
    const run = async (minutes: string, ...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-q", "--no-prompt", "--no-check", "-P=measure", "--allow-run"]
          .concat(`${root}scripts/gpu_bench.ts`, "--preset", "nano", "-o", folder)
          .concat("--minutes", minutes, "--patience", "100", ...args),
        cwd: root,
        env: { NO_COLOR: "1" },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      assertEquals(code, 0, text(stderr));
      const result = JSON.parse(await Deno.readTextFile(`${folder}/bench-gpu.json`));
      assertSchema(result);
      return { text: text(stdout), steps: result.steps as StepRecord[] };
    };
    try {
      const first = await run("1000", "--only", "features");
      assertEquals(states(first.steps), ["features done"]);
      const [adapter, ...features] = first.steps[0]?.items ?? [];
      assertType("cardAdapter", adapter);
      for (const feature of features) assertType("cardFeature", feature);
      assert(features.some(({ answer }) => answer === "granted"));
      // To the digit as before: it wasn't run again; what is new has no time.
      const second = await run("0", "--only", "features,ceilings");
      assertEquals(states(second.steps), ["features done", "ceilings not started"]);
      assertEquals(second.steps[0], first.steps[0]);
      assertStringIncludes(second.text, "not done: ceilings");
      // Other options are another measurement.
      const other = await run("0", "--only", "features", "--precision", "f32");
      assertEquals(states(other.steps), ["features not started"]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

withGpu(
  "the step of forms tells right from wrong, names forms as tuning does, and leaves known ones out",
  async (gpu) => {
    const shape = { rows: 5, outputs: 24, inputs: 12, dtype: "f16", texture: false } as const;
    const sound = productProblem(gpu, { ...shape, gated: false, normed: false });
    const [first = "", second = ""] = sound.variants.keys();
    // The second form writes what the first does, into nothing.
    const problem: Problem = {
      ...sound,
      variants: new Map([...sound.variants].slice(0, 3)),
      open: () => {
        const trial: Trial = sound.open();
        const bad = sound.variants.get(second);
        return { ...trial, steps: (variant) => variant === bad ? [] : trial.steps(variant) };
      },
    };
    const all = await Array.fromAsync(forms(gpu, [problem], new Set()));
    const items = all.flatMap((message) =>
      "item" in message ? [{ name: message.item, ...message.value }] : []
    );
    assertEquals(items.length, problem.variants.size);
    for (const one of items) assertType("cardForm", one);
    const wrong = wrongForms([record("forms", items)]);
    assertEquals(wrong, [`matmul f16: ${second}`]);
    const known = new Set(items.map(({ name }) => name).slice(1));
    const again = await Array.fromAsync(forms(gpu, [problem], known));
    assertEquals(again.map((message) => "item" in message ? message.item : message.begin), [
      ...[`${problem.key}: ${first}`, `${problem.key}: ${first}`],
    ]);
    // It is neither timed nor chosen after that.
    const { chosen, times } = await timesOf(gpu, problem, wrong);
    assert(!(second in times) && chosen !== second);
    const { choices } = await tune(gpu, [() => [problem]], {}, 0, () => {}, (form) => {
      return [...wrong, `matmul f16: ${first}`].includes(form);
    });
    gpu.choices = {};
    assert(![first, second].includes(choices[problem.key] ?? first));
    assertThrows(() => withoutVariants(problem, () => true), Error, "known to be wrong");
  },
);
