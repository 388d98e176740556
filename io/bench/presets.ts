/** All presets side by side: what each costs, and what it needs for real time on a machine. */
import { type Needs, needsOf } from "../../engine/bench/needs.ts";
import type { Machine } from "../../engine/bench/roofline.ts";
import { preset, presetNames } from "../../engine/models/presets.ts";
import { bytesText, figure, percent, type Table, tableOf } from "../reports/table.ts";

export type PresetNeeds = { preset: string } & Needs;

export async function presetNeeds(
  machine: Machine,
  status: (what: string) => void = () => {},
  names: readonly (typeof presetNames)[number][] = presetNames,
): Promise<PresetNeeds[]> {
  const presets: PresetNeeds[] = [];
  for (const name of names) {
    status(name);
    presets.push({ preset: name, ...await needsOf(preset(name), machine) });
  }
  return presets;
}

const ms = (seconds: number) => figure(1000 * seconds);

/** The presets side by side. */
export function presetTable(presets: readonly PresetNeeds[]): Table {
  return tableOf("Presets, and what each needs for real time", presets, [
    ["preset", ({ preset }) => preset],
    ["parameters", ({ parameters }) => `${figure(parameters / 1e6)} M`],
    ["tokens a unit", ({ tokensPerUnit }) => `${tokensPerUnit}`],
    ["GFLOP a tick", ({ flops }) => figure(flops / 1e9)],
    ["GB", ({ bytes }) => figure(bytes / 1e9)],
    ["K and V, GB", ({ historyBytes }) => figure(historyBytes / 1e9)],
    ["memory", ({ deviceBytes }) => bytesText(deviceBytes)],
    ["ms on one", ({ oneSeconds }) => ms(oneSeconds)],
    ["on two", ({ twoSeconds }) => ms(twoSeconds)],
    ["must reach on one", ({ oneEfficiency }) => percent(oneEfficiency)],
    ["on two", ({ twoEfficiency }) => percent(twoEfficiency)],
  ], [
    "ms: at the roof. Must reach: the part of the machine's rates that kernels must reach on average " +
    "so that a tick takes no longer than a unit, launches and transfers taken off; above 100 % no kernel can.",
  ]);
}
