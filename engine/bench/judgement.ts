/**
 * Kernels judged without a card: what their forms state beside their code, against the bars that a large
 * card sets. A miss is no fault where the form states a reason.
 */
import { bankConflicts, card, type KernelFacts, sectors } from "../../kernels/card/facts.ts";
import { attentionOf, plainHistoryBytes } from "../../kernels/attention/attention.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { type Dispatch, kernelName } from "../../kernels/gpu/plan.ts";

/** What a form must reach on a card. */
export const bars = {
  /** Workgroups for each unit of the card, at the least. */
  groups: 2,
  /** 32-byte sectors that a load of 32 lanes touches at the most, unless the lanes use all of them. */
  sectors: 8,
  /** Different words in one bank that a turn of workgroup memory serves, at the most. */
  conflicts: 2,
  /** Registers of a lane, at the most. */
  registers: 128,
} as const;
export type Bar = keyof typeof bars;

/** A launch that does less isn't asked to fill a card. */
const smallWork = { flops: 1e8, bytes: 2e6 };

/** A kernel's form at one size of launch. */
export interface JudgedKernel {
  kernel: string;
  /** The first launch of this kind. */
  label: string;
  form: string | null;
  launches: number;
  flops: number;
  /** Workgroups of a launch, its lanes in all, and workgroups for each unit of the card. */
  groups: number;
  lanes: number | null;
  groupsPerUnit: number;
  /** The worst of its loads from storage, the part of the sectors' bytes that this one uses, and which. */
  sectors: number | null;
  sectorsUsed: number | null;
  worstLoad: string | null;
  conflicts: number | null;
  registers: number | null;
  workgroupBytes: number | null;
  /** Bytes of K and V that all launches ask memory for. */
  historyBytes: number | null;
  misses: { bar: Bar; reason: string | null }[];
}

/** What is judged of a launch. */
export type JudgedLaunch = Pick<Dispatch, "label" | "groups" | "flops" | "bytes" | "facts">;

/** Every kind of launch, those with the most operations first. */
export function judge(launches: readonly JudgedLaunch[]): JudgedKernel[] {
  const kinds = new Map<string, JudgedLaunch[]>();
  for (const launch of launches) {
    const key = [kernelName(launch), launch.facts?.form, launch.groups, launch.flops, launch.bytes]
      .join();
    const kind = kinds.get(key);
    if (kind) kind.push(launch);
    else kinds.set(key, [launch]);
  }
  return [...kinds.values()].map(judged).sort((a, b) => b.flops - a.flops);
}

function judged(kind: readonly JudgedLaunch[]): JudgedKernel {
  const [launch] = kind;
  if (!launch) throw new RangeError("no launch");
  const { facts } = launch;
  const groups = launch.groups[0] * launch.groups[1] * launch.groups[2];
  const groupsPerUnit = groups / card.units;
  const loads = worst(facts, "storage", (of, access) => {
    const { count, used } = sectors(of, access);
    return { ...{ what: access.what, count, used }, bad: used === 1 ? 0 : count };
  });
  const banks = worst(facts, "workgroup", (of, access) => {
    const count = bankConflicts(of, access);
    return { what: access.what, count, used: 1, bad: count };
  });
  const missed: Bar[] = [];
  const isSmall = launch.flops < smallWork.flops && launch.bytes < smallWork.bytes;
  if (groupsPerUnit < bars.groups && !isSmall) missed.push("groups");
  if (loads && loads.bad > bars.sectors) missed.push("sectors");
  if (banks && banks.count > bars.conflicts) missed.push("conflicts");
  if (facts && facts.registers > bars.registers) missed.push("registers");
  return {
    kernel: kernelName(launch),
    label: launch.label,
    form: facts?.form ?? null,
    launches: kind.length,
    flops: kind.reduce((sum, { flops }) => sum + flops, 0),
    groups,
    lanes: facts ? groups * facts.lanes : null,
    groupsPerUnit,
    sectors: loads?.count ?? null,
    sectorsUsed: loads?.used ?? null,
    worstLoad: loads?.what ?? null,
    conflicts: banks?.count ?? null,
    registers: facts?.registers ?? null,
    workgroupBytes: facts?.workgroupBytes ?? null,
    historyBytes: facts?.historyBytes === undefined ? null : facts.historyBytes * kind.length,
    misses: missed.map((bar) => ({ bar, reason: facts?.reasons?.[bar] ?? null })),
  };
}

interface Worst {
  what: string;
  count: number;
  used: number;
  bad: number;
}

function worst(
  facts: KernelFacts | undefined,
  memory: "storage" | "workgroup",
  of: (facts: KernelFacts, access: KernelFacts["accesses"][number]) => Worst,
): Worst | undefined {
  return facts?.accesses.filter((access) => access.memory === memory)
    .map((access) => of(facts, access))
    .sort((a, b) => b.bad - a.bad || b.count - a.count)[0];
}

/** Bytes of K and V that a tick's attention moves from memory to its lanes. */
export interface HistoryTraffic {
  /** Each K and V once per launch. */
  least: number;
  /** By the kernel of a lane for each row and head, and by the forms that are taken. */
  plain: number;
  taken: number;
}

export function historyTraffic(gpu: Gpu, launches: readonly Dispatch[]): HistoryTraffic {
  const traffic = { least: 0, plain: 0, taken: 0 };
  for (const launch of launches) {
    const shape = attentionOf(launch);
    if (!shape) continue;
    const { slots, kvHeads, headDim, dtype } = shape;
    traffic.least += 2 * slots * kvHeads * headDim * (dtype === "f16" ? 2 : 4);
    traffic.plain += plainHistoryBytes(gpu, shape);
    traffic.taken += launch.facts?.historyBytes ?? 0;
  }
  return traffic;
}
