/** Where a span's attention goes: shares by group and age, read out of each layer as it runs. */
import { attentionAxes, type Inspection } from "../checkpoint/unit.ts";
import type { BackboneConfig } from "../config/config.ts";
import type { History } from "./history.ts";
import type { HistoryWindow } from "./window.ts";
import { attentionShares } from "../../kernels/attention/attention_shares.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Step } from "../../kernels/gpu/plan.ts";
import { makeTensor, reshape, rows, type Tensor, upload } from "../../kernels/gpu/tensor.ts";

type Group = typeof attentionAxes.groups[number];

/** Keys that one lane walks. */
const partKeys = 64;
const ages = attentionAxes.ages.length;
const classes = attentionAxes.groups.length * ages;

/** Index of a group and an age, in units, on the last two of `attentionAxes`. */
function classOf(group: Group, age: number): number {
  return attentionAxes.groups.indexOf(group) * ages + (age === 0 ? 0 : age <= 5 ? 1 : 2);
}

/**
 * The class of each slot that may hold a token in the tick of unit `unit`; -1: none of them. The noisy
 * latents of the conditional set count as what they become.
 */
export function slotClasses(window: HistoryWindow, unit: number): Int32Array<ArrayBuffer> {
  const { layout, noisyStart, prefillTokens } = window;
  const slots = new Int32Array(window.slots).fill(-1);
  const fill = (start: number, groups: readonly Group[], age: number) => {
    for (const group of groups) {
      const end = start + (group === "prefill" ? prefillTokens : layout[group]);
      slots.fill(classOf(group, age), start, end);
      start = end;
    }
  };
  fill(0, ["prefill"], Infinity);
  for (const kept of window.unitsAfter(unit)) {
    fill(window.block(kept), attentionAxes.groups.slice(0, -1), unit - kept);
  }
  fill(noisyStart, ["agentAudio", "agentVideo"], 0);
  return slots;
}

/** Parts that so many slots may need, however they are spread over the classes. */
function partsOf(slots: number): number {
  return Math.ceil(slots / partKeys) + classes;
}

/**
 * Slots sorted by class, [slots], and ranges of them of one class each, [parts, 4] as
 * {start, end, class, 0}; as many parts as so many slots may need, the last ones empty.
 */
export function slotParts(
  bySlot: Int32Array,
): { order: Uint32Array<ArrayBuffer>; parts: Uint32Array<ArrayBuffer> } {
  const order = new Uint32Array(bySlot.length);
  const parts: number[] = [];
  let length = 0;
  for (let of = 0; of < classes; of++) {
    const start = length;
    bySlot.forEach((own, slot) => {
      if (own === of) order[length++] = slot;
    });
    for (let from = start; from < length; from += partKeys) {
      parts.push(from, Math.min(length, from + partKeys), of, 0);
    }
  }
  const table = new Uint32Array(4 * partsOf(bySlot.length));
  table.set(parts);
  return { order, parts: table };
}

/** The rows of a span whose attention is asked for, as the backbone hands them over. */
export interface Looking {
  /** Rows [first, first + count) of the span. */
  first: number;
  count: number;
  to: AttentionShares;
}

/** The shares of one span's rows in all layers, and the tables that say which slot counts as what. */
export class AttentionShares {
  private readonly gpu: Gpu;
  private readonly config: BackboneConfig;
  private readonly window: HistoryWindow;
  /** f32 [layers, groups x ages]. */
  readonly shares: Tensor;
  readonly #order: Tensor;
  readonly #parts: Tensor;

  constructor(gpu: Gpu, config: BackboneConfig, window: HistoryWindow) {
    this.gpu = gpu;
    this.config = config;
    this.window = window;
    this.shares = makeTensor(gpu, "attention shares", [config.num_hidden_layers, classes]);
    this.#order = makeTensor(gpu, "slots by class", [window.slots], "u32");
    this.#parts = makeTensor(gpu, "parts of slots", [partsOf(window.slots), 4], "u32");
  }

  /** Sorts the slots for the tick of unit `unit`, to which the window has advanced. */
  write(unit: number): void {
    const { order, parts } = slotParts(slotClasses(this.window, unit));
    upload(this.gpu, this.#order, order);
    upload(this.gpu, this.#parts, parts);
  }

  /** Steps that take one layer's shares, once K of the span is in history. @param q Rotated queries. */
  steps(label: string, layer: number, q: Tensor, tokenTable: Tensor, history: History): Step[] {
    const c = this.config;
    const keys = history.layers[layer]?.keys;
    if (!keys) throw new RangeError(`history has no layer ${layer}`);
    return attentionShares(this.gpu, {
      label,
      q,
      tokenTable,
      keys,
      ranks: history.ranks,
      order: this.#order,
      parts: this.#parts,
      shares: reshape(rows(this.shares, layer, 1), [classes]),
      heads: c.num_attention_heads,
      kvHeads: c.num_key_value_heads,
      headDim: c.head_dim,
    });
  }
}

/** Joins what the language row and the latents look at, each [layers, groups x ages]. */
export function joinShares(
  language: Float32Array,
  latents: Float32Array,
): Inspection["attention"] {
  const shares = new Float32Array(language.length + latents.length);
  shares.set(language);
  shares.set(latents, language.length);
  return { layers: language.length / classes, shares };
}
