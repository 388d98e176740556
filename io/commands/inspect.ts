/** `inspect [MODEL]`: what a checkpoint is and what it costs, without an adapter. */
import { openHeaders } from "../../engine/checkpoint/checkpoint.ts";
import { sumWork } from "../../engine/bench/roofline.ts";
import { paperCheckpoint } from "../../engine/checkpoint/paper.ts";
import { InputError } from "../../engine/config/errors.ts";
import { partOf } from "../../engine/checkpoint/parts.ts";
import { tensorPart } from "../../engine/checkpoint/tensors.ts";
import { unitLayout } from "../../engine/checkpoint/unit.ts";
import { tokenBytes } from "../../engine/model/history.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { launches, tickOnPaper, tickStages } from "../../engine/roles/tick_plan.ts";
import { elementBytes, elements } from "../../kernels/gpu/tensor.ts";
import { provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { checkForms, formOptions } from "../cli/forms.ts";
import { evaluationsPerUnit } from "../../engine/config/solver.ts";
import { historyWindow } from "../../engine/model/window.ts";
import { counted, type Table, tableMarkdown, tablesCsv, tableText } from "../reports/table.ts";
import { presetNeeds, presetTable } from "../bench/presets.ts";
import { cardRates } from "../../kernels/card/facts.ts";
import { ownModel } from "../run/open_model.ts";
import { runCommand } from "../cli/commands.ts";
import { parseAgent } from "../agents/agent.ts";
import { openAgent } from "../agents/open.ts";
import { modelOptions } from "../cli/model_options.ts";
import { type CommandSpec, ffmpegOption, type Option, type Parsed } from "../cli/options.ts";
import { openRecording } from "../eval/recordings.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { answered } from "../inspect/answered.ts";
import { parseNetwork } from "../pace/network.ts";
import { paceOptions } from "../pace/pace_options.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { partingText } from "../inspect/differences.ts";
import { inspectPage } from "../inspect/page.ts";
import { plotLibrary } from "../reports/report.ts";
import { readRun, type RunData } from "../inspect/run_data.ts";
import { outputError } from "../system/errors.ts";
import { Outputs } from "../system/output_file.ts";
import { print, say } from "../system/terminal.ts";

export const summary = "show what a checkpoint is and costs, or how agents came to their answers";

const spec = {
  name: "inspect",
  summary,
  usage:
    "[MODEL] | A.html B.html -o BOTH.html | AGENT [AGENT] --recording DIR -o PAGE.html [options]",
  options: {
    presets: {
      kind: "flag",
      help: "all presets side by side, and what each needs of a large graphics card",
    },
    ...formOptions,
    output: {
      kind: "text",
      value: "FILE",
      short: "o",
      help: "a page: two pages of --inspect side by side, or agents' answers (.html)",
    },
    recording: {
      kind: "text",
      value: "DIR",
      help: "open up how one or two agents answer it: a folder with truth.json",
    },
    seed: { ...modelOptions.seed, help: "of their noise and sampling (0)" },
    network: paceOptions.network,
    "no-tune": modelOptions["no-tune"],
    ...ffmpegOption,
    force: { kind: "flag", help: "replace FILE if it exists" },
  },
  examples: [
    "wanstream inspect",
    "wanstream inspect out/big --json",
    "wanstream inspect seed7.html seed8.html -o both.html",
    "wanstream inspect engine/models/nano-1 cascade:engine/models/nano-modules " +
    "--recording samples/eval/100000 -o both.html",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

type PageOptions = Parsed<typeof spec.options>["options"];

/** @param programs The folder of the judges, where public parts of cascades lie. */
export function run(
  args: string[],
  { judges }: { judges: string } = { judges: "scripts/judges/" },
): Promise<number> {
  return runCommand(spec, args, async (forms, operands, started) => {
    checkForms(forms);
    const { recording } = forms;
    if (recording !== undefined) {
      refuse(forms, "--recording", [...described, "presets"]);
      return await openUp(operands, { ...forms, recording }, judges, started);
    }
    if (forms.output !== undefined || operands.some((path) => /\.html?$/i.test(path))) {
      refuse(forms, "two pages side by side", [...described, "presets", ...answering]);
      return await putSideBySide(operands, forms);
    }
    refuse(forms, "what a checkpoint is", [...answering, "force"]);
    if (operands.length > 1) {
      throw new InputError(
        `inspect takes one MODEL folder, not ${operands.length}: give the folder of a checkpoint`,
      );
    }
    if (forms.presets) {
      if (operands.length > 0) {
        throw new InputError("inspect --presets shows all presets: leave MODEL out");
      }
      const presets = await presetNeeds(cardRates);
      const table = presetTable(presets);
      if (forms.json) {
        await printResult("inspect-presets/1", await provenanceOf(started, {}), { presets });
      } else {
        await print(
          forms.csv ? tablesCsv([table]) : forms.markdown ? tableMarkdown(table) : tableText(table),
        );
      }
      return 0;
    }
    const model = operands[0] ?? await ownModel();
    const report = await inspect(model);
    if (!forms.json) {
      const sections = inspectionSections(model, report);
      const tables = sections.map(([title, rows]): Table => ({
        title,
        columns: ["", ...Array.from({ length: width(rows) - 1 }, () => "")],
        rows,
      }));
      const text = forms.csv
        ? tablesCsv(tables)
        : forms.markdown
        ? tables.map((table) => `**${table.title}**\n\n${tableMarkdown(table)}`).join("\n")
        : inspectionText(sections);
      await print(text);
      return 0;
    }
    const { config: { random_weights_seed }, digest } = report;
    const checkpoint = { path: model, digest, randomWeightsSeed: random_weights_seed ?? null };
    await printResult("inspect/1", await provenanceOf(started, { checkpoint }), report);
    return 0;
  });
}

/** Options of a description of checkpoints, and of agents' answers. */
const described = ["json", "csv", "markdown"] as const;
const answering = ["seed", "network", "no-tune", "ffmpeg"] as const;

/** @throws InputError when an option is given that has no meaning there. */
function refuse(given: PageOptions, what: string, names: readonly (keyof PageOptions)[]): void {
  const name = names.find((name) => given[name] !== undefined && given[name] !== false);
  if (name !== undefined) {
    throw new InputError(`inspect: --${name} means nothing for ${what}: leave it out`);
  }
}

/** Writes a page of two pages' runs. @returns The exit code. */
async function putSideBySide(pages: readonly string[], options: PageOptions): Promise<number> {
  const [one, two, surplus] = pages;
  if (one === undefined || two === undefined || surplus !== undefined) {
    throw new InputError(
      `inspect puts 2 pages side by side in a third, not ${pages.length}: ` +
        "inspect A.html B.html -o BOTH.html",
    );
  }
  const outputs = new Outputs([one, two], options.force);
  await writePage(outputs, options, async () => [await readRun(one), await readRun(two)]);
  return 0;
}

/** Writes a page of one or two agents' answers to a recording. @returns The exit code. */
async function openUp(
  names: readonly string[],
  options: PageOptions & { recording: string },
  judges: string,
  run: StartedRun,
): Promise<number> {
  if (names.length < 1 || names.length > 2) {
    throw new InputError(
      `inspect --recording: opens up 1 or 2 agents, not ${names.length}: inspect A B --recording ` +
        "DIR -o PAGE.html",
    );
  }
  const specs = names.map(parseAgent);
  const { network: asked, seed = 0 } = options;
  const network = asked === undefined ? null : parseNetwork(asked);
  const recording = await openRecording(options.recording);
  const finder = ffmpegFinder(options.ffmpeg);
  const ffmpeg = await finder();
  const outputs = new Outputs([recording.user], options.force);
  using interrupt = new Interrupt(() => {
    outputs.discard().finally(() => Deno.exit(interruptedCode));
  });
  const { signal } = interrupt;
  await writePage(outputs, options, async () => {
    const runs: RunData[] = [];
    for (const spec of specs) {
      if (signal.aborted) break;
      const model = { "no-tune": options["no-tune"] };
      const agent = await openAgent(spec, { model, ffmpeg: finder, inspect: true, judges });
      try {
        say(agent.line);
        const data = await answered({ agent, recording, seed, network, ffmpeg, run, signal });
        if (data !== null) runs.push(data);
      } finally {
        await agent.close();
      }
    }
    return runs;
  });
  return signal.aborted ? interruptedCode : 0;
}

/** Writes a page of runs, where there is one, and says where two of them part. */
async function writePage(
  outputs: Outputs,
  { output }: PageOptions,
  runsOf: () => Promise<RunData[]>,
): Promise<void> {
  if (output === undefined) throw new InputError("inspect: -o PAGE.html is missing: add it");
  if (!/\.html?$/i.test(output)) throw new InputError(`-o: '${output}' should end in .html`);
  try {
    const file = await outputs.claim(output);
    const library = await plotLibrary();
    const runs = await runsOf();
    if (runs.length === 0) return say("interrupted before the first unit: nothing was written");
    await Deno.writeTextFile(file.temporary, inspectPage(runs, library)).catch((error) => {
      throw outputError(output, error);
    });
    await outputs.commit();
    const [one, two] = runs;
    if (one && two) say(partingText([one, two]));
  } finally {
    await outputs.discard();
  }
}

export type Inspection = Awaited<ReturnType<typeof inspect>>;

/** Reads a checkpoint. @throws InputError when they don't hold up. */
export async function inspect(model: string) {
  const { config, tensors, digest } = await openHeaders(model);
  const parameters: Record<string, number> = {};
  let total = 0;
  let storedBytes = 0;
  const dtypes = new Set<string>();
  for (const [name, { dtype, shape, length }] of tensors) {
    const count = elements(shape);
    const part = tensorPart(name);
    parameters[part] = (parameters[part] ?? 0) + count;
    total += count;
    storedBytes += length;
    dtypes.add(dtype);
  }
  parameters["total"] = total;
  const { parts = [], random_weights_seed: seed } = config;
  const random: Record<string, number> = {};
  const brought = new Map(parts.map(({ part }) => [part, 0]));
  for (const [name, { shape }] of tensors) {
    const count = elements(shape);
    const origin = partOf(config, name);
    if (origin) brought.set(origin.part, (brought.get(origin.part) ?? 0) + count);
    else if (seed !== undefined) random[tensorPart(name)] = (random[tensorPart(name)] ?? 0) + count;
  }
  const layout = unitLayout(config);
  const settings = resolveSettings(paperCheckpoint(config), { precision: "f32" });
  const { stages } = await tickOnPaper(config, settings);
  const memory = (storage: "f32" | "f16") => {
    const unitBytes = layout.tokens * tokenBytes(config, storage);
    return {
      weights: total * elementBytes(storage),
      history: config.history_units * unitBytes,
      historyPerMinute: (60_000 / config.unit_ms) * unitBytes,
    };
  };
  const [encode, pass, solve, decode] = tickStages.map((stage) =>
    sumWork(launches(stages[stage])).flops
  ) as [number, number, number, number];
  const all = tickStages.flatMap((stage) => launches(stages[stage]));
  const work = {
    backbone: pass + solve,
    audio_codec: flopsOf(all, "response.audio."),
    video_codec: flopsOf(all, "response.video."),
  };
  return {
    digest,
    config,
    parts: parts.map((origin) => ({
      ...origin,
      parameters: brought.get(origin.part) ?? 0,
      flopsPerUnit: work[origin.part],
    })),
    random,
    tensors: tensors.size,
    dtypes: [...dtypes].sort(),
    storedBytes,
    parameters,
    tokensPerUnit: layout,
    evaluationsPerUnit: evaluationsPerUnit(config.solver),
    historyTokens: config.history_units * layout.tokens,
    seenTokens: historyWindow(layout, settings).most,
    historySeconds: (config.history_units * config.unit_ms) / 1000,
    flopsPerUnit: { encode, pass, step: solve / config.solver.steps, solve, decode },
    bytes: { f32: memory("f32"), f16: memory("f16") },
  };
}

/** Operations of the launches whose labels name an encoder or decoder. */
function flopsOf(all: ReturnType<typeof launches>, name: string): number {
  return sumWork(all.filter(({ label }) => label.includes(name))).flops;
}

/** What the checkpoint was trained with. */
function knownText(known: readonly string[]): string {
  return ["sound", "pictures", ...known.map((name) => name.replace("_", " "))].join(", ");
}

type Section = [title: string, rows: string[][]];

export function inspectionSections(model: string, report: Inspection): Section[] {
  const { config: c, tokensPerUnit: layout, flopsPerUnit: flops } = report;
  const { audio, video } = c.response;
  const seconds = c.unit_ms / 1000;
  const solver = `${c.solver.name}, ${counted(c.solver.steps, "step")}, shift ${c.solver.shift}, ` +
    `guidance ${c.solver.guidance}: ${
      counted(report.evaluationsPerUnit, "evaluation")
    } of the network a unit`;
  const tick = flops.encode + flops.pass + flops.solve + flops.decode;
  const rate = (
    operations: number,
  ) => [`${giga(operations)} GFLOP`, `${giga(operations / seconds)} GFLOP/s in real time`];
  const grid = layout.agentVideoGrid.join("x");
  const seen = layout.userVideoGrid.join("x");
  const weights = c.random_weights_seed === undefined
    ? "as trained"
    : `${
      report.parts.length > 0 ? "from parts and " : ""
    }RANDOM (seed ${c.random_weights_seed}): not trained`;
  return [
    [model, [
      [
        "weights",
        `${weights}, ${counted(report.tensors, "tensor")} in ${report.dtypes.join(", ")}, ` +
        `${mega(report.storedBytes)} MB on disk`,
      ],
      [
        "backbone",
        `${counted(c.num_hidden_layers, "layer")} of ${c.hidden_size} / ` +
        `${c.intermediate_size}, ${c.num_attention_heads} heads on ${c.num_key_value_heads} ` +
        `x ${c.head_dim}, vocabulary ${c.vocab_size}`,
      ],
      [
        "observes",
        `${c.observation.video.width}x${c.observation.video.height} at ${c.fps} ` +
        `frames/s, sound at ${c.observation.audio.sample_rate} Hz`,
      ],
      [
        "responds",
        `${video.width}x${video.height} at ${c.fps} frames/s, sound at ` +
        `${audio.sample_rate} Hz, units of ${c.unit_ms} ms`,
      ],
      ["solver", solver],
      ...(c.trained_with ? [["knows", knownText(c.trained_with)]] : []),
      ["digest", report.digest],
    ]],
    ...(report.parts.length === 0 ? [] : [
      [
        "Parts",
        report.parts.map(({ part, family, name, licence, parameters, flopsPerUnit, digest }) => [
          part.replace("_", " "),
          `${name} (${family})`,
          `licence ${licence ?? "not stated"}`,
          `${thousands(parameters)} parameters`,
          `${giga(flopsPerUnit)} GFLOP a unit`,
          `digest ${digest}`,
        ]),
      ],
      ["Random", Object.entries(report.random).map(([what, n]) => [what, thousands(n)])],
    ] satisfies Section[]),
    ["Parameters", Object.entries(report.parameters).map(([part, n]) => [part, thousands(n)])],
    ["Tokens per unit", [
      [
        "observation",
        `${layout.observation}`,
        `text ${layout.userText}, audio ` +
        `${layout.userAudio}, video ${layout.userVideo} (${seen})`,
      ],
      ["language", `${layout.agentText}`],
      [
        "response",
        `${layout.response}`,
        `audio ${layout.agentAudio}, video ` +
        `${layout.agentVideo} (${grid})`,
      ],
      ["total", `${layout.tokens}`],
    ]],
    ["Operations per unit, history full", [
      ["encode", ...rate(flops.encode)],
      ["pass", ...rate(flops.pass)],
      ["solve, per step", ...rate(flops.step)],
      ["solve", ...rate(flops.solve)],
      ["decode", ...rate(flops.decode)],
      ["total", ...rate(tick)],
    ]],
    [
      "Memory of each role's device",
      (["f32", "f16"] as const).map((storage) => {
        const { weights, history, historyPerMinute } = report.bytes[storage];
        return [
          storage,
          `weights ${mega(weights)} MB`,
          `history ${mega(history)} MB`,
          `(${mega(historyPerMinute)} MB per minute until full)`,
        ];
      }),
    ],
    ["History", [
      [
        "units",
        `${c.history_units}`,
        `${report.historySeconds.toFixed(1)} s, the first ` +
        `${c.sink_units} never leave`,
      ],
      [
        "tokens",
        thousands(report.historyTokens),
        `of which the solver sees ${thousands(report.seenTokens)} at the most, without typed text`,
      ],
    ]],
  ];
}

/** The sections for a terminal. */
export function inspectionText(sections: readonly Section[]): string {
  return sections.map(([title, rows]) => `${title}\n${align(rows)}`).join("\n");
}

const width = (rows: readonly string[][]) => Math.max(...rows.map(({ length }) => length));

/** Rows as indented columns. */
function align(rows: string[][]): string {
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const line = (row: string[]) =>
    row.map((cell, i) => i === row.length - 1 ? cell : cell.padEnd(width(i))).join("  ");
  return rows.map((row) => `  ${line(row)}\n`).join("");
}

const thousands = (n: number) => n.toLocaleString("en-US");
const mega = (bytes: number) => (bytes / 1e6).toLocaleString("en-US", { maximumFractionDigits: 1 });
const giga = (operations: number) => (operations / 1e9).toPrecision(3);
