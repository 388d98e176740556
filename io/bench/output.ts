/** What a bench gives, and the ways out: text, JSON, and a page with plots. */
import type { ModelConfig } from "../../engine/config/config.ts";
import { InputError } from "../../engine/config/errors.ts";
import { elementCount, expectedTensors } from "../../engine/checkpoint/tensors.ts";
import { unitLayout } from "../../engine/checkpoint/unit.ts";
import {
  type CommandSpec,
  helpText,
  type Option,
  type Parsed,
  parseOptions,
} from "../cli/options.ts";
import type { BenchModel } from "./model.ts";
import type { Plot } from "../reports/plots.ts";
import { writeReport } from "../reports/report.ts";
import { type Table, tableText } from "../reports/table.ts";

/** Says what is being measured. */
export type Status = (what: string) => void;

/** What one bench found. */
export interface Bench {
  /** "kernels", "tick", ... */
  name: string;
  /** One line: what was measured, on what. */
  headline: string;
  /** Every figure, for machines. */
  figures: object;
  tables: readonly Table[];
  plots: readonly Plot[];
  /** The model's own facts, when there is one. */
  model?: object;
}

/** The options of every bench. */
export const outputOptions = {
  json: { kind: "flag", help: "print every figure as JSON on stdout" },
  report: { kind: "text", value: "FILE", help: "write a page with plots (.html)" },
  force: { kind: "flag", help: "replace the report if it exists" },
} as const satisfies Record<string, Option>;

type Options<T extends Record<string, Option>> = Parsed<T>["options"];

const encoder = new TextEncoder();

/** A bench's command: parses, measures, prints. */
export async function runBench<const T extends Record<string, Option>>(
  spec: CommandSpec<T & typeof outputOptions>,
  args: string[],
  measure: (options: Options<T>, status: Status) => Promise<Bench[]>,
): Promise<number> {
  const { options, operands, help } = parseOptions(spec, args);
  if (help) {
    await print(helpText(spec));
    return 0;
  }
  if (operands[0] !== undefined) {
    throw new InputError(`${spec.name} takes no '${operands[0]}': --help lists its options`);
  }
  const { json, report, force } = options as Options<typeof outputOptions>;
  if (report !== undefined) await checkReport(report, force);
  const started = new Date();
  const benches = await measure(options as unknown as Options<T>, status);
  status("");
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined && value !== false),
  );
  const configuration = {
    ...machine(),
    command: [spec.name, ...args].join(" "),
    date: started.toISOString(),
    seconds: (Date.now() - started.getTime()) / 1000,
    options: given,
    ...benches.find(({ model }) => model)?.model,
  };
  if (json) {
    const figures = Object.fromEntries(benches.map(({ name, figures }) => [name, figures]));
    await print(`${JSON.stringify({ configuration, ...figures }, null, 2)}\n`);
  } else {
    const texts = benches.map(({ headline, tables }) =>
      [`${headline}\n`, ...tables.map(tableText)].join("\n")
    );
    await print(texts.join("\n"));
  }
  if (report !== undefined) {
    status(`drawing ${report}`);
    await writeReport(report, { configuration, benches });
    status("");
  }
  return 0;
}

async function print(text: string): Promise<void> {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
}

/** A line that is overwritten by the next, for people at a terminal. */
function status(what: string): void {
  if (!Deno.stderr.isTerminal()) return;
  Deno.stderr.writeSync(encoder.encode(`\r\x1b[K${what}`));
}

/** @throws InputError before any work, when the page could not be written. */
async function checkReport(path: string, force: boolean): Promise<void> {
  if (!/\.html?$/i.test(path)) {
    throw new InputError(`--report: '${path}' should end in .html`);
  }
  const info = await Deno.stat(path).catch(() => null);
  if (info && !force) {
    throw new InputError(`--report: ${path} exists: add --force to replace it`);
  }
}

/** What ran this. */
function machine() {
  const { os, arch } = Deno.build;
  return {
    program: "wanstream 0.1.0",
    deno: Deno.version.deno,
    system: `${os} ${arch}`,
    cores: navigator.hardwareConcurrency,
  };
}

/** A model's facts, as every bench's JSON and page have them. */
export function modelFacts({ name, checkpoint, settings }: BenchModel, adapter: string) {
  const { config, digest } = checkpoint;
  return {
    adapter,
    model: name,
    checkpoint: digest,
    parameters: parameters(config),
    storage: settings.storage,
    weights: settings.weights,
    solver: settings.solver,
    historyUnits: settings.historyUnits,
    sinkUnits: settings.sinkUnits,
    unitMs: config.unit_ms,
    tokensPerUnit: unitLayout(config).tokens,
    config,
  };
}

function parameters(config: ModelConfig): number {
  let count = 0;
  for (const shape of expectedTensors(config).values()) count += elementCount(shape);
  return count;
}
