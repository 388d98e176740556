/** `bench start`: from the command to the first unit's answer, and where that time goes. */
import { fileURLToPath } from "node:url";
import { type Checkpoint, openCheckpoint, openConfig } from "../../engine/checkpoint/checkpoint.ts";
import { unitLayout } from "../../engine/checkpoint/unit.ts";
import { RunError } from "../system/errors.ts";
import { ownModel } from "../run/open_model.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { modelOptions } from "../cli/model_options.ts";
import type { CommandSpec, Option, Parsed } from "../cli/options.ts";
import { askedSettings, madeFrom, settingOptions } from "./model.ts";
import { median } from "../../kernels/measure/quantile.ts";
import { outputOptions, runBench, type Status } from "./output.ts";
import type { Bench } from "../reports/report.ts";
import type { ChildMarks } from "./start_child.ts";
import { startPlot } from "../reports/plots.ts";
import { figure, type Table, tableOf } from "../reports/table.ts";

export const summary = "from the command to the first answer, and where that time goes";

const spec = {
  name: "bench start",
  summary,
  usage: "[options]",
  options: {
    model: modelOptions.model,
    "no-tune": modelOptions["no-tune"],
    ...settingOptions,
    rounds: { kind: "whole", min: 1, max: 100, help: "starts to take the median of (3)" },
    ...outputOptions,
  },
  examples: ["wanstream bench start", "wanstream bench start --rounds 10 --json"],
} as const satisfies CommandSpec<Record<string, Option>>;

/** What `bench start` starts, handed in by the command line. */
export interface StartPrograms {
  /** The folder whose deno.json has the tasks. */
  root: string;
  /** The module of the command `stream`. */
  stream: string;
}

export function run(args: string[], programs: StartPrograms): Promise<number> {
  return runBench(spec, args, async (options, status) => {
    return await benchStart(programs, options, status);
  });
}

type StartOptions = Partial<Parsed<typeof spec.options>["options"]>;

export interface StartPart {
  what: string;
  ms: number;
}

export async function benchStart(
  { root, stream }: StartPrograms,
  options: StartOptions,
  status: Status,
): Promise<Bench> {
  const { model: given, rounds = 3, "no-tune": noTune } = options;
  const model = given ?? await ownModel();
  const asked = Object.keys(settingOptions).flatMap((name) => {
    const value = options[name as keyof typeof settingOptions];
    return value === undefined ? [] : [`--${name}`, `${value}`];
  });
  const more = [...noTune ? ["--no-tune"] : [], ...asked];
  const { userSamples } = unitLayout(await openConfig(model));
  const silence = new Uint8Array(4 * userSamples);
  const totals: number[] = [];
  const children: { spawned: number; task: number; marks: ChildMarks }[] = [];
  // The first round fills the system's caches and counts for nothing.
  for (let round = 0; round <= rounds; round++) {
    status(`start ${round} of ${rounds}`);
    const total = await firstAnswer(root, ["--model", model, ...more], silence);
    const start = performance.now();
    await output(root, ["task", "-q", "programs"]);
    const task = performance.now() - start;
    const spawned = performance.timeOrigin + performance.now();
    const marks: ChildMarks = JSON.parse(
      await output(root, [
        ...["run", "-q", "--no-prompt", "-P=measure"],
        ...[startChild, stream, model, JSON.stringify(askedSettings(options))],
        ...(noTune ? ["--no-tune"] : []),
      ]),
    );
    if (round === 0) continue;
    totals.push(total);
    children.push({ spawned, task, marks });
  }
  const typical = (of: (child: typeof children[number]) => number) => median(children.map(of));
  const totalMs = median(totals);
  const known: StartPart[] = [
    { what: "deno task: listing what may be started", ms: typical(({ task }) => task) },
    { what: "deno itself", ms: typical(({ spawned, marks }) => marks.origin - spawned) },
    { what: "modules", ms: typical(({ marks }) => marks.modules - marks.origin) },
    { what: "checkpoint", ms: typical(({ marks }) => marks.checkpoint - marks.modules) },
    { what: "adapter", ms: typical(({ marks }) => marks.adapter - marks.checkpoint) },
    { what: "choice of kernels", ms: typical(({ marks }) => marks.choices - marks.adapter) },
    {
      what: "weights to the adapter",
      ms: typical(({ marks: { weights, choices, weightPipelines } }) =>
        weights - choices - weightPipelines
      ),
    },
    {
      what: "shaders and pipelines",
      ms: typical(({ marks }) => marks.weightPipelines + marks.planPipelines),
    },
    {
      what: "codecs' weights, bind groups, first readbacks",
      ms: typical(({ marks: { model, weights, planPipelines } }) =>
        model - weights - planPipelines
      ),
    },
    ...["encode", "pass", "solve", "decode"].map((stage) => ({
      what: `first unit: ${stage}`,
      ms: typical(({ marks }) => marks.first[stage] ?? NaN),
    })),
  ];
  const rest = totalMs - known.reduce((sum, { ms }) => sum + ms, 0);
  const parts = [...known, { what: "Workers, pipes and the rest", ms: rest }];
  const second = typical(({ marks }) => marks.second["tick"] ?? NaN);
  const first = typical(({ marks }) => marks.first["tick"] ?? NaN);
  const adapter = children[0]?.marks.adapterName ?? "";
  return {
    name: "start",
    headline: `start of 'deno task -q stream' with ${
      given ?? "nano-1"
    } on ${adapter}: first answer after ${figure(totalMs)} ms`,
    figures: {
      command: "deno task -q stream --raw-audio=- --raw-audio-out=-",
      totalMs,
      rounds: totals,
      parts,
      firstTickMs: first,
      secondTickMs: second,
    },
    tables: [startTable(parts, totalMs, first, second)],
    plots: [startPlot(parts)],
    main: { "first answer, ms": totalMs, "first tick, ms": first, "second tick, ms": second },
    startsPrograms: true,
    ...startedFrom(model, await openCheckpoint(model), options, rounds, children[0]?.marks),
  };
}

function startedFrom(
  path: string,
  checkpoint: Checkpoint,
  options: StartOptions,
  rounds: number,
  marks: ChildMarks | undefined,
): Pick<Bench, "model" | "origin"> {
  const asked = askedSettings(options);
  const settings = resolveSettings(checkpoint, asked);
  const { adapterName: adapter = "", kernels = {} } = marks ?? {};
  const thinker = { adapter, spec: "default", kernels };
  const places = { placement: "fused" as const, thinker, performers: [] };
  return madeFrom({ name: path, checkpoint, asked, settings, tuning: null }, places, { rounds });
}

const startChild = fileURLToPath(new URL("./start_child.ts", import.meta.url));

function command(root: string, args: string[], stdin: "null" | "piped"): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args,
    cwd: root,
    stdin,
    stdout: "piped",
    stderr: "piped",
  });
}

async function output(root: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await command(root, args, "null").output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  if (!success) throw new RunError(`deno ${args.join(" ")}: ${text(stderr)}`);
  return text(stdout);
}

/** Milliseconds from starting the command to the first bytes of its first answer. */
async function firstAnswer(
  root: string,
  options: string[],
  unit: Uint8Array,
): Promise<number> {
  const args = ["task", "-q", "stream", ...options, "--raw-audio=-"];
  const start = performance.now();
  const child = command(root, [...args, "--raw-audio-out=-", "--quiet"], "piped").spawn();
  const errors = new Response(child.stderr).text();
  const writer = child.stdin.getWriter();
  const writing = writer.write(unit).then(() => writer.close()).catch(() => {});
  let first = NaN;
  for await (const chunk of child.stdout) {
    if (Number.isNaN(first) && chunk.length > 0) first = performance.now() - start;
  }
  await writing;
  const { code } = await child.status;
  if (code !== 0 || Number.isNaN(first)) {
    throw new RunError(`deno ${args.join(" ")}: exit code ${code}: ${(await errors).trim()}`);
  }
  await errors;
  return first;
}

function startTable(
  parts: readonly StartPart[],
  totalMs: number,
  first: number,
  second: number,
): Table {
  const whole = { what: "from the command to the first answer", ms: totalMs };
  return tableOf("Where the time goes (medians in ms)", [...parts, whole], [
    ["part", ({ what }) => what],
    ["ms", ({ ms }) => figure(ms)],
  ], [
    `The whole was measured on the command itself, its parts in one process without Workers; the ` +
    `last part is what is left, below 0 where roles start side by side. The first unit takes ` +
    `${figure(first)} ms, the second ${figure(second)}: the difference is pipelines' compilation.`,
  ]);
}
