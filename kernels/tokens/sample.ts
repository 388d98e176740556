/**
 * Choosing a token on the GPU: the largest logit, or a draw at a temperature from the top k and the
 * top p of the softmax.
 *
 * A draw is the argmax of logit / temperature + Gumbel noise, and the noise of an element depends on
 * seed, unit, slot and element alone (Philox), so a draw needs no running sum over the vocabulary and
 * comes out the same after every resume. Top k and top p are thresholds on the logit, found by
 * bisection over all floats: exact, without sorting. One workgroup does it all.
 */
import type { Gpu } from "../gpu/device.ts";
import { philoxCode, philoxKey, philoxStream } from "../gpu/philox.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import code from "./sample.wgsl" with { type: "text" };
import { checkTensors, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";

const sizes = new UniformStruct("Sizes", {
  u32: "vocabulary logits unit id slot top_k",
  vec2u: "key",
  f32: "top_p inverse_temperature",
});

export interface SampleArguments {
  label: string;
  /** f32 [1, V]. */
  logits: Tensor;
  /** u32 [1]: where the token goes. */
  id: Tensor;
  /** u32 [1]: number of the unit, read when the step runs. */
  unit: Tensor;
  /** Number of the draw within its unit. */
  slot: number;
  /** 0 to 2^53 - 1. */
  seed: number;
  /** 0 (the default): the largest logit, of equals the lowest id. */
  temperature?: number;
  /** Keep the k largest logits and their equals; 0 (the default) keeps all. */
  topK?: number;
  /** Of those, keep the largest whose probabilities sum to p, and their equals; 1 (the default) keeps
   * all. */
  topP?: number;
}

/** Steps that choose one token. @throws RangeError when shapes or settings don't fit. */
export function sample(gpu: Gpu, args: SampleArguments): Dispatch[] {
  const { label, logits, id, unit, slot, temperature = 0, topK = 0, topP = 1 } = args;
  const [, vocabulary = 0] = logits.shape;
  checkTensors(`sample ${label}`, {
    logits: [logits, "f32", [1, vocabulary]],
    id: [id, "u32", [1]],
    unit: [unit, "u32", [1]],
  });
  if (id.buffer === unit.buffer || id.buffer === logits.buffer) {
    throw new RangeError(`sample ${label}: id shares a buffer with what is read`);
  }
  if (!(temperature >= 0 && topK >= 0 && topP > 0 && topP <= 1)) {
    throw new RangeError(`sample ${label}: temperature ${temperature}, k ${topK}, p ${topP}`);
  }
  const constants = sizes.bind(gpu, {
    vocabulary,
    logits: logits.offset,
    unit: unit.offset,
    id: id.offset,
    slot,
    top_k: Math.min(topK, vocabulary),
    key: philoxKey(args.seed),
    top_p: topP,
    inverse_temperature: temperature > 0 ? 1 / temperature : 1,
  });
  // On a CPU one SIMD register's invocations, since a workgroup has one core to itself.
  const lanes = gpu.traits.cpu ? gpu.traits.lanes : 256;
  const pipeline = gpu.pipeline("sample", code, {
    sizes,
    lanes,
    draws: temperature > 0,
    top_k: topK > 0,
    top_p: topP < 1,
    philox: philoxCode,
    stream: philoxStream.sampling,
  });
  return [
    dispatch(
      gpu,
      `sample ${label}`,
      pipeline,
      [constants, logits, unit, id],
      [1, 1, 1],
      { bytes: tensorBytes(logits) },
    ),
  ];
}
