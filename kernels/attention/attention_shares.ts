/**
 * Where attention goes: the share of softmax(q k^T / sqrt(head_dim)) that each class of keys gets, a
 * mean over rows and heads. For looking into a model: attention.ts never writes its weights, so here
 * they are computed once more, and nothing that is answered depends on them.
 *
 * The caller sorts the keys by class and cuts them into parts of one class each. One dispatch gives
 * every query's maximum and sum over a part (an online softmax, as in attention.ts), one joins the
 * parts of a class, one takes the mean.
 */
import code from "./attention_shares.wgsl" with { type: "text" };
import classCode from "./attention_shares_class.wgsl" with { type: "text" };
import meanCode from "./attention_shares_mean.wgsl" with { type: "text" };
import type { AttentionArguments } from "./attention.ts";
import type { Gpu } from "../gpu/device.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import { checkTensors, scratchTensor, type Tensor } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";

/** Attention's arguments without values and results, and the classes of its keys. */
export interface AttentionSharesArguments extends
  Pick<
    AttentionArguments,
    "label" | "q" | "keys" | "ranks" | "tokenTable" | "heads" | "kvHeads" | "headDim"
  > {
  /** Slots that hold keys, those of a class next to each other, u32 [slots]. Read at run time, as
   * `parts` is. */
  order: Tensor;
  /** Ranges of `order`, u32 [parts, 4]: {start, end, class, 0}. Empty ones count for nothing. */
  parts: Tensor;
  /** f32 [classes]. */
  shares: Tensor;
}

/** Where each tensor starts, in texels or elements; `queries`: rows times heads. */
const sizes = new UniformStruct("Sizes", {
  u32: "queries parts first_part query keys ranks order token_table",
});

const classSizes = new UniformStruct("Sizes", { u32: "queries parts first_part classes" });

const meanSizes = new UniformStruct("Sizes", { u32: "queries classes shares" });

/**
 * Steps for the shares. A row that sees no key counts with zeros; what lies in unseen slots is never
 * used.
 *
 * @throws RangeError when shapes don't fit.
 */
export function attentionShares(gpu: Gpu, args: AttentionSharesArguments): Dispatch[] {
  const { label, q, keys, ranks, tokenTable, order, parts, shares } = args;
  const { heads, kvHeads, headDim } = args;
  const name = `attention_shares ${label}`;
  const [rows = 0] = q.shape;
  const [slots = 0] = keys.shape;
  const [count = 0] = parts.shape;
  const [classes = 0] = shares.shape;
  const half = keys.dtype === "f16";
  if (headDim % 8 !== 0 || heads % kvHeads !== 0) {
    throw new RangeError(`${name}: ${heads} heads over ${kvHeads} of ${headDim} (in eights)`);
  }
  const texel = half ? 8 : 4;
  checkTensors(name, {
    q: [q, "f32", [rows, heads * headDim], 4],
    keys: [keys, half ? "f16" : "f32", [slots, kvHeads * headDim], texel],
    ranks: [ranks, "i32", [slots]],
    tokenTable: [tokenTable, "i32", [rows, 8], 4],
    order: [order, "u32", [slots]],
    parts: [parts, "u32", [count, 4], 4],
    shares: [shares, "f32", [classes]],
  });
  const queries = rows * heads;
  const partials = scratchTensor(gpu, "attention_shares partials", [count, queries, 2]);
  const byQuery = scratchTensor(gpu, "attention_shares queries", [queries, classes]);
  const first_part = parts.offset / 4;
  const pipeline = gpu.pipeline("attention_shares", code, {
    sizes,
    half,
    heads,
    kv_heads: kvHeads,
    group: heads / kvHeads,
    eights: headDim / 8,
    eight_texels: half ? 1 : 2,
    cache: half ? "vec4u" : "vec4f",
    scale: Math.LOG2E / Math.sqrt(headDim),
  });
  const constants = sizes.bind(gpu, {
    queries,
    parts: count,
    first_part,
    query: q.offset / 4,
    keys: keys.offset / texel,
    ranks: ranks.offset,
    order: order.offset,
    token_table: tokenTable.offset / 4,
  });
  return [
    dispatch(
      gpu,
      name,
      pipeline,
      [constants, tokenTable, q, keys, ranks, order, parts, partials],
      { items: queries * count },
      { flops: 2 * queries * slots * headDim },
    ),
    dispatch(
      gpu,
      `${name} by class`,
      gpu.pipeline("attention_shares class", classCode, { sizes: classSizes }),
      [
        classSizes.bind(gpu, { queries, parts: count, first_part, classes }),
        parts,
        partials,
        byQuery,
      ],
      { items: queries * classes },
    ),
    dispatch(
      gpu,
      `${name} mean`,
      gpu.pipeline("attention_shares mean", meanCode, { sizes: meanSizes }),
      [meanSizes.bind(gpu, { queries, classes, shares: shares.offset }), byQuery, shares],
      { items: classes },
    ),
  ];
}
