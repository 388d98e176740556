/** `bench plan`: what a tick would cost on a machine that isn't here, and how well such a plan fits the
 * machine that is. */
import { openConfig } from "../../engine/checkpoint/checkpoint.ts";
import type { ModelConfig } from "../../engine/config/config.ts";
import { InputError } from "../../engine/config/errors.ts";
import { preset } from "../../engine/models/presets.ts";
import {
  type Machine,
  planPlacement,
  type StageTime,
  stageTimes,
  transfers,
  workKinds,
  workTime,
} from "../../engine/bench/roofline.ts";
import { judgeCandidates } from "../../engine/bench/candidates.ts";
import { bars, historyTraffic, judge, type JudgedKernel } from "../../engine/bench/judgement.ts";
import { card } from "../../kernels/card/facts.ts";
import { paperCheckpoint } from "../../engine/checkpoint/paper.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { allLaunches, tickOnPaper } from "../../engine/roles/tick_plan.ts";
import { launchShapes } from "../../engine/roles/tuning.ts";
import { ownModel } from "../run/open_model.ts";
import type { CommandSpec, Option } from "../cli/options.ts";
import { askedSettings, benchModelOptions, checkChoice, modelFacts } from "./model.ts";
import { outputOptions, runBench, type Status } from "./output.ts";
import type { Bench } from "../reports/report.ts";
import { benchPlanCheck } from "./plan_check.ts";
import { presetNeeds, presetTable } from "./presets.ts";
import { bytesText, type Cell, figure, percent, type Table, tableOf } from "../reports/table.ts";

export const summary = "what a tick would cost on a machine that isn't here";

const spec = {
  name: "bench plan",
  summary,
  usage: "[--presets] --flops X --bandwidth Y [--link Z] [options], or --check",
  options: {
    ...benchModelOptions,
    flops: { kind: "text", value: "X", help: "multiply-adds per second x 2, as 67T" },
    bandwidth: { kind: "text", value: "Y", help: "bytes per second of memory, as 3.35T" },
    link: { kind: "text", value: "Z", help: "bytes per second between adapters (25G)" },
    efficiency: {
      kind: "number",
      value: "E",
      min: 0.001,
      max: 1,
      help: "part of these rates that kernels reach (1: the roof)",
    },
    "launch-us": { kind: "number", value: "N", min: 0, help: "microseconds of a launch (0)" },
    presets: {
      kind: "flag",
      help: "all presets side by side, in half precision, as their configs have them",
    },
    check: {
      kind: "flag",
      help: "plan for this machine, with its own ceilings, and compare with the tick it has",
    },
    ...outputOptions,
  },
  examples: [
    "wanstream bench plan --preset v0.1-0.6b --flops 67T --bandwidth 3.35T --link 50G",
    "wanstream bench plan --check",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

export function run(args: string[]): Promise<number> {
  return runBench(spec, args, async (options, status) => {
    const { flops, bandwidth, check } = options;
    checkChoice(options);
    if (check) {
      const excluded = (["flops", "bandwidth", "link", "efficiency"] as const).find((name) =>
        options[name] !== undefined
      );
      if (excluded !== undefined) {
        throw new InputError(`--check measures this machine: leave --${excluded} out`);
      }
      return await benchPlanCheck(options, status);
    }
    if (flops === undefined || bandwidth === undefined) {
      throw new InputError(
        "bench plan needs --flops and --bandwidth of the machine, as 67T and 3.35T; or --check",
      );
    }
    const machine: Machine = {
      flops: parseRate("flops", flops),
      bytesPerSecond: parseRate("bandwidth", bandwidth),
      linkBytesPerSecond: parseRate("link", options.link ?? "25G"),
      launchSeconds: (options["launch-us"] ?? 0) / 1e6,
    };
    const { efficiency } = options;
    if (efficiency !== undefined) {
      machine.efficiency = Object.fromEntries(workKinds.map((kind) => [kind, efficiency]));
    }
    if (options.presets) {
      if (options.model !== undefined || options.preset !== undefined) {
        throw new InputError("--presets plans for all of them: leave --model and --preset out");
      }
      return await planPresets(machine, status);
    }
    const config = options.preset === undefined
      ? await openConfig(options.model ?? await ownModel())
      : preset(options.preset);
    return await plan(options.preset ?? options.model ?? "nano", config, machine, options);
  });
}

const steps = ["", "k", "M", "G", "T", "P"];

/** Reads a rate: `67T`, `3.35T`, `5e10`. @throws InputError */
export function parseRate(name: string, text: string): number {
  const [, number = "", step = ""] = /^(\d+(?:\.\d+)?(?:e\d+)?)([kMGTP]?)$/.exec(text) ?? [];
  const rate = Number(number) * 1000 ** steps.indexOf(step);
  if (number === "" || !(rate > 0)) {
    throw new InputError(
      `--${name}: '${text}' is no rate: a number with k, M, G, T or P, as 3.35T`,
    );
  }
  return rate;
}

/**
 * A model's tick on a machine that isn't here.
 *
 * @throws InputError when the history is too short.
 */
export async function plan(
  name: string,
  config: ModelConfig,
  machine: Machine,
  options: Parameters<typeof askedSettings>[0],
): Promise<Bench> {
  const settings = resolveSettings(paperCheckpoint(config), askedSettings(options));
  const { promptIds: _, personaFrame: _p, voice: _v, ...answering } = settings;
  const { storage, weights } = settings;
  const { model, stages: plans } = await tickOnPaper(config, settings);
  const stages = stageTimes(plans, machine);
  const launches = allLaunches(plans);
  const kernels = judge(launches);
  const history = historyTraffic(model.gpu, launches);
  const deviceBytes = model.gpu.allocatedBytes;
  const { products, convs } = launchShapes(launches);
  const candidates = judgeCandidates(model.gpu, {
    products: products.filter(({ rows }) => rows > 1).slice(0, 2),
    convs: convs.slice(0, 1),
  });
  const moved = transfers(model);
  const link = machine.linkBytesPerSecond;
  const unitSeconds = config.unit_ms / 1000;
  const placement = planPlacement(stages, moved, link, unitSeconds);
  const memory = { deviceBytes, historyBytes: moved.historyBytes };
  const transferSeconds = {
    history: moved.historyBytes / link,
    slice: moved.sliceBytes / link,
    latents: moved.latentBytes / link,
  };
  const share = (what: string, seconds: number, bytes?: number): Cell[] => [
    what,
    bytes === undefined ? null : bytesText(bytes),
    ms(seconds),
    percent(seconds / unitSeconds),
  ];
  return {
    name: "plan",
    headline: `${name} in ${weights}, ${settings.historyUnits} units of history (${
      settings.historyUnits * model.layout.tokens
    } tokens), at ${rate(machine.flops)}FLOP/s, ${rate(machine.bytesPerSecond)}B/s, link ${
      rate(link)
    }B/s`,
    figures: {
      storage,
      weights,
      machine: { ...machine, efficiency: machine.efficiency ?? null },
      stages,
      transfers: moved,
      transferSeconds,
      placement,
      memory,
      historyTraffic: history,
      kernels,
      candidates,
    },
    tables: [
      planTable(stages, workTime(launches, machine)),
      {
        title: "Real time",
        columns: ["", "", "ms", "of a unit"],
        rows: [
          share("both roles on one adapter", placement.fusedSeconds),
          share("thinker", placement.thinkerSeconds),
          share("performer, transfers included", placement.performerSeconds),
          share("  slice to the performer", transferSeconds.slice, moved.sliceBytes),
          share("  latents to the thinker", transferSeconds.latents, moved.latentBytes),
          [
            "a whole history, once",
            bytesText(moved.historyBytes),
            ms(transferSeconds.history),
            null,
          ],
          ["memory of an adapter with both roles", bytesText(memory.deviceBytes), null, null],
        ],
        notes: [adaptersNote(placement.adapters)],
      },
      {
        title: "K and V that a tick's attention reads",
        columns: ["", "GB"],
        rows: [
          ["each once per launch (counted above)", figure(history.least / 1e9)],
          ["a lane for each row and head", figure(history.plain / 1e9)],
          ["the forms that are taken", figure(history.taken / 1e9)],
        ],
      },
      kernelTable("Kernels on a card, judged by their code", kernels.slice(0, mostKernels)),
      kernelTable(
        "What tuning may choose for the two heaviest products and the heaviest convolution",
        candidates,
      ),
    ],
    plots: [],
    model: modelFacts(name, config, settings),
    origin: { settings: { ...answering, machine } },
  };
}

/** All presets' needs. */
async function planPresets(machine: Machine, status: Status): Promise<Bench> {
  const presets = await presetNeeds(machine, status);
  return {
    name: "plan",
    schema: "bench-plan-presets/1",
    headline: `every preset in f16 at ${rate(machine.flops)}FLOP/s, ${
      rate(machine.bytesPerSecond)
    }B/s`,
    figures: { machine: { ...machine, efficiency: machine.efficiency ?? null }, presets },
    tables: [presetTable(presets)],
    plots: [],
    origin: { settings: { machine } },
  };
}

function adaptersNote(adapters: number): string {
  if (adapters === 1) return "Adapters needed for real time: 1.";
  if (adapters === 2) return "Adapters needed for real time: 2, one for each role.";
  return `Adapters needed for real time: ${adapters} at least, the roles parted further than this ` +
    "engine parts them.";
}

function rate(value: number): string {
  const step = Math.min(5, Math.floor(Math.log10(value) / 3));
  return `${figure(value / 1000 ** step)} ${steps[step]}`;
}

const ms = (seconds: number) => figure(1000 * seconds);

/** Rows of the table of kernels: the rest is in JSON. */
const mostKernels = 24;

function kernelTable(title: string, kernels: readonly JudgedKernel[]): Table {
  const missed = kernels.flatMap(({ misses, form }) =>
    misses.flatMap(({ bar, reason }) =>
      reason === null ? [] : [`${form} misses ${bar}: ${reason}.`]
    )
  );
  return tableOf(title, kernels, [
    ["first launch", ({ label }) => label],
    ["form", ({ form }) => form],
    ["launches", ({ launches }) => `${launches}`],
    ["workgroups", ({ groups }) => `${groups}`],
    ["a unit", ({ groupsPerUnit }) => figure(groupsPerUnit)],
    ["lanes", ({ lanes }) => lanes === null ? null : `${lanes}`],
    ["sectors", (k) => k.sectors === null ? null : `${k.sectors} (${percent(k.sectorsUsed)} used)`],
    ["conflicts", ({ conflicts }) => conflicts === null ? null : `${conflicts}`],
    ["registers", ({ registers }) => registers === null ? null : `${registers}`],
    ["misses", ({ misses }) => misses.map(({ bar }) => bar).join(", ") || null],
  ], [
    `A card of ${card.units} units. Bars: ${bars.groups} workgroups a unit, ${bars.sectors} sectors a load ` +
    `unless all their bytes are used, ${bars.conflicts} words of a bank at once, ${bars.registers} registers.`,
    ...new Set(missed),
  ]);
}

function planTable(stages: readonly StageTime[], tick: Omit<StageTime, "stage">): Table {
  return tableOf("Stages", [...stages, { ...tick, stage: "tick" }], [
    ["stage", ({ stage }) => stage],
    ["GFLOP", ({ flops }) => figure(flops / 1e9)],
    ["GB", ({ bytes }) => figure(bytes / 1e9)],
    ["launches", ({ launches }) => `${launches}`],
    ["operations, ms", ({ computeSeconds }) => ms(computeSeconds)],
    ["bytes, ms", ({ memorySeconds }) => ms(memorySeconds)],
    ["ms", ({ seconds }) => ms(seconds)],
    ["bound by", ({ bound }) => bound],
  ], ["ms: the sum over launches of the greater of both."]);
}
