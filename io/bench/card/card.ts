/** `bench-gpu`: what a graphics card does, in minutes: bounded steps, resumable. */
import { createHash } from "node:crypto";
import { InputError } from "../../../engine/config/errors.ts";
import { presetNames } from "../../../engine/models/presets.ts";
import { listAdapters } from "../../../kernels/gpu/probe.ts";
import { runCommand } from "../../cli/commands.ts";
import type { CommandSpec, Option } from "../../cli/options.ts";
import { provenanceOf } from "../../provenance/provenance.ts";
import { resultText } from "../../provenance/result.ts";
import { tableText } from "../../reports/table.ts";
import { writeOutput } from "../../system/output_file.ts";
import { print, say, showStatus } from "../../system/terminal.ts";
import {
  ceilingOf,
  firstSteps,
  type Need,
  needsOn,
  presetsOf,
  tickSteps,
  wrongForms,
} from "./plan.ts";
import { startStep } from "./process.ts";
import { runSteps, type Step, type StepRecord, wallClock } from "./steps.ts";
import { recordTable } from "./tables.ts";
import type { Task } from "./work.ts";

const stepNames = [...firstSteps.map(({ name }) => name), "ticks"];

const spec = {
  name: "bench-gpu",
  summary: "what a graphics card does, in a few minutes of it",
  usage: "[options]",
  options: {
    preset: { kind: "choice", choices: presetNames, help: "only this one's shapes and ticks" },
    precision: { kind: "choice", choices: ["f32", "f16", "int8", "int4"], help: "storage (f16)" },
    adapter: { kind: "text", value: "SPEC", help: "adapter, as 'adapters' lists them (default)" },
    minutes: { kind: "number", min: 0, max: 1440, help: "time for this run (8)" },
    patience: { kind: "whole", min: 1, help: "times each step's bound, for slow adapters (1)" },
    only: { kind: "text", value: "STEPS", help: `some of ${stepNames.join(",")}` },
    output: { kind: "text", value: "FOLDER", short: "o", help: "of the figures (out/bench-gpu)" },
  },
  examples: [
    "deno task bench-gpu",
    "deno task bench-gpu --minutes 2 --preset nano -o out/try",
    "deno task bench-gpu --only features,forms",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

/** Runs the command. @param root The folder of the program. @returns The exit code. */
export function run(args: string[], root: string): Promise<number> {
  return runCommand(spec, args, async (options, operands, started) => {
    if (operands[0] !== undefined) throw new InputError(`bench-gpu takes no '${operands[0]}'`);
    const {
      preset,
      precision = "f16",
      adapter,
      minutes = 8,
      patience = 1,
      output = "out/bench-gpu",
    } = options;
    const only = options.only?.split(",") ?? stepNames;
    const strange = only.find((name) => !stepNames.includes(name));
    if (strange !== undefined) {
      throw new InputError(`--only ${strange}: no such step; there are ${stepNames.join(", ")}`);
    }
    if (preset === undefined && adapter === undefined) {
      const cards = (await listAdapters()).filter(({ software }) => !software);
      if (cards.length === 0) {
        throw new InputError(
          "no graphics card is found ('adapters' lists what is): install its Vulkan driver, or try " +
            "the command itself on the CPU with --preset nano",
        );
      }
    }
    const file = `${output}/bench-gpu.json`;
    const presets = presetsOf(preset);
    const asked = { preset: preset ?? null, precision, adapter: adapter ?? "default" };
    const program = await programDigest(root);
    const task = { adapter: asked.adapter, precision, presets: presets.shapes };
    const card = await identify(
      { ...task, step: "adapter", seconds: 0, known: [], wrong: [] },
      root,
      patience,
    );
    const earlier = await readRecords(file, { program, card, asked });
    let needs: Need[] | undefined;
    const patient = (step: Step): Step => ({
      ...step,
      boundSeconds: patience * step.boundSeconds,
      itemSeconds: step.itemSeconds === null ? null : patience * step.itemSeconds,
    });
    const plan = async (records: readonly StepRecord[]): Promise<Step[]> => {
      const steps = firstSteps.filter(({ name }) => only.includes(name)).map(patient);
      if (!only.includes("ticks")) return steps;
      const ceiling = ceilingOf(records);
      if (!ceiling) return steps;
      showStatus("what each preset needs");
      needs ??= await needsOn(ceiling, presets.ticks);
      return [...steps, ...tickSteps(records, needs).map(patient)];
    };
    const provenance = await provenanceOf(started, { settings: { ...asked, minutes } });
    const keep = (records: readonly StepRecord[]) => {
      const wrong = wrongForms(records);
      return writeOutput(
        file,
        resultText("bench-gpu/2", provenance, { program, card, asked, wrong, steps: records }),
      );
    };
    let records: StepRecord[] = [];
    const measured = await runSteps(plan, earlier, {
      budgetSeconds: 60 * minutes,
      clock: wallClock,
      start({ step, boundSeconds: seconds, items }) {
        return startStep({
          ...task,
          step,
          seconds,
          known: items.map(({ name }) => name),
          wrong: wrongForms(records),
        }, root);
      },
      async keep(all) {
        records = [...all];
        const now = records.find(({ state }) => state === "running");
        if (now) showStatus(`${now.step}: ${now.underWay ?? "starts"}`);
        await keep(records);
      },
      async show(record) {
        showStatus("");
        await print(`${tableText(recordTable(record))}\n`);
      },
    });
    showStatus("");
    if (only.includes("ticks") && !ceilingOf(measured)) {
      say("no preset is run: without 'ceilings' nothing tells how long its ticks take");
    }
    const open = measured.filter(({ step, state }) =>
      state !== "done" && only.includes(step.split(" ", 1)[0] ?? "")
    ).map(({ step }) => step);
    await print(
      `every figure is in ${file}\n` +
        (open.length > 0 ? `not done: ${open.join(", ")}; the same command goes on there\n` : ""),
    );
    return 0;
  });
}

/** The digest of the sources that decide what is measured. */
async function programDigest(root: string): Promise<string> {
  const hash = createHash("sha256");
  const add = async (folder: string): Promise<void> => {
    const entries = [...Deno.readDirSync(folder)].sort((a, b) => a.name < b.name ? -1 : 1);
    for (const { name, isDirectory } of entries) {
      const path = `${folder}/${name}`;
      if (isDirectory) await add(path);
      else if (/\.(ts|wgsl)$/.test(name)) hash.update(name).update(await Deno.readFile(path));
    }
  };
  for (const folder of ["kernels", "engine", "io/bench/card"]) await add(root + folder);
  return hash.update(Deno.version.deno).digest("hex");
}

/** Seconds in which an adapter opens, or it never does. */
const openingSeconds = 60;

/** What names the adapter, its driver and its Deno. @throws InputError when it doesn't open. */
async function identify(task: Task, root: string, patience: number): Promise<string> {
  const process = startStep(task, root);
  const disarm = wallClock.after(patience * openingSeconds, process.kill);
  let key: unknown;
  for await (const message of process.messages) if ("item" in message) key = message.value["key"];
  disarm();
  const failure = await process.ended;
  if (typeof key === "string") return key;
  throw new InputError(`adapter '${task.adapter}' doesn't open: ${failure ?? "it says nothing"}`);
}

/** What an earlier run with the same program, adapter and options has; nothing where there is none. */
async function readRecords(
  file: string,
  wanted: { program: string; card: string; asked: Record<string, unknown> },
): Promise<StepRecord[]> {
  let text: string;
  try {
    text = await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  const fail = () =>
    new InputError(`${file}: is no result of bench-gpu: remove it, or choose another output`);
  try {
    const found: { [key: string]: unknown; steps: StepRecord[] } = JSON.parse(text);
    if (found["schema"] !== "wanstream/bench-gpu/2") throw fail();
    const { program, card, asked } = found;
    return JSON.stringify({ program, card, asked }) === JSON.stringify(wanted) ? found.steps : [];
  } catch {
    throw fail();
  }
}
