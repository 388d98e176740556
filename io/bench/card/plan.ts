/** Which steps there are for what is known so far, and what a preset's ticks will take. */
import type { Ceiling } from "../../../engine/bench/kernel_bench.ts";
import type { Machine } from "../../../engine/bench/roofline.ts";
import { type PresetName, presetNames } from "../../../engine/models/presets.ts";
import { presetNeeds } from "../presets.ts";
import type { Item, Step, StepRecord } from "./steps.ts";
import { variantName } from "../../../kernels/measure/tune.ts";
import { tickCount } from "./work.ts";

/** Steps before the ticks, the most informative first. */
export const firstSteps: readonly Step[] = [
  { name: "features", boundSeconds: 40, needsSeconds: 1, itemSeconds: 15 },
  { name: "forms", boundSeconds: 120, needsSeconds: 5, itemSeconds: 20 },
  { name: "ceilings", boundSeconds: 30, needsSeconds: 5, itemSeconds: null },
  { name: "shapes", boundSeconds: 90, needsSeconds: 10, itemSeconds: 40 },
];

/** What a preset's tick needs at the roof of this adapter. */
export interface Need {
  preset: PresetName;
  parameters: number;
  /** Of a tick. */
  seconds: number;
}

/** Needs of presets on an adapter with these ceilings. */
export async function needsOn(
  { gigaflops, gigabytes, launchMs }: Ceiling,
  presets: readonly PresetName[],
): Promise<Need[]> {
  const machine: Machine = {
    flops: 1e9 * gigaflops,
    bytesPerSecond: 1e9 * gigabytes,
    linkBytesPerSecond: 1e9 * gigabytes,
    launchSeconds: launchMs / 1000,
  };
  const needs = await presetNeeds(machine, () => {}, presets);
  return needs.map(({ preset, parameters, oneSeconds }) => ({
    preset: preset as PresetName,
    parameters,
    seconds: oneSeconds,
  }));
}

/** A record's items. */
export function itemsOf(records: readonly StepRecord[], step: string): Item[] {
  return records.find((one) => one.step === step)?.items ?? [];
}

/** The adapter's ceilings; undefined: not measured yet. */
export function ceilingOf(records: readonly StepRecord[]): Ceiling | undefined {
  return itemsOf(records, "ceilings")[0] as (Item & Ceiling) | undefined;
}

/** Forms that are wrong, or that a process hung or died of. */
export function wrongForms(records: readonly StepRecord[]): string[] {
  return [...new Set(itemsOf(records, "forms").flatMap(formsAgainst))];
}

function formsAgainst({ name, form, right, failed }: Item): string[] {
  if (typeof form === "string") return right === false ? [form] : [];
  if (failed === undefined) return [];
  // `KEY: VARIANT`, as the step names its items.
  const at = name.indexOf(": ");
  return [variantName({ key: name.slice(0, at) }, name.slice(at + 2))];
}

/** Seconds that making one parameter takes, before a large preset was made: weights on the host and to the
 * adapter. */
const parameterSeconds = 1.2e-7;
/** Seconds of choosing kernels, first ticks and kernels one by one, before a preset was measured. */
const otherSeconds = 60;
/** The part of the ceilings that a tick reaches, before one was measured. */
const firstEfficiency = 0.03;

/** The ticks of presets: nano's first, then v0.1-0.6b's, then by forecast, the quickest first. */
export function tickSteps(records: readonly StepRecord[], needs: readonly Need[]): Step[] {
  const secondsOf = (step: string, name: string) =>
    Number(itemsOf(records, step).find((item) => item.name === name)?.["seconds"] ?? NaN);
  // What the presets that ran reached: the worst of them.
  const ran = needs.flatMap((need) => {
    const step = `ticks ${need.preset}`;
    const times = itemsOf(records, step).flatMap(({ tick }) =>
      typeof tick === "number" ? tick : []
    );
    const others = secondsOf(step, "choice of kernels") + secondsOf(step, "first ticks");
    return times.length === 0 ? [] : [{
      efficiency: (1000 * need.seconds) / Math.max(...times),
      making: need.parameters > 1e8 ? secondsOf(step, "weights") / need.parameters : 0,
      others,
    }];
  });
  const making = Math.max(0, ...ran.map((one) => one.making)) || parameterSeconds;
  const efficiency = Math.min(1, ...ran.map((one) => one.efficiency));
  const others = Math.max(...ran.map((one) => one.others));
  const forecast = (need: Need) =>
    making * need.parameters +
    (need.preset === "nano" ? 20 : Number.isFinite(others) ? Math.max(20, others) : otherSeconds) +
    tickCount * need.seconds / (ran.length > 0 ? efficiency : firstEfficiency);
  const place = ({ preset }: Need) => preset === "nano" ? 0 : preset === "v0.1-0.6b" ? 1 : 2;
  return needs
    .map((need) => ({ need, seconds: forecast(need) }))
    .sort((a, b) => place(a.need) - place(b.need) || a.seconds - b.seconds)
    .map(({ need, seconds }) => ({
      name: `ticks ${need.preset}`,
      // Kernels one by one come last and may be cut off.
      boundSeconds: 2 * seconds + 60,
      needsSeconds: seconds,
      itemSeconds: null,
    }));
}

/** Presets whose shapes are measured, and whose ticks. */
export function presetsOf(preset: PresetName | undefined) {
  return preset === undefined
    ? { shapes: ["v0.1-0.6b", "nano"] as PresetName[], ticks: [...presetNames] }
    : { shapes: [preset], ticks: [preset] };
}
