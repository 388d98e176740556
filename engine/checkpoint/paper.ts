/** A checkpoint on paper: the tensors that a config calls for, as shapes alone. */
import type { ModelConfig } from "../config/config.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { expectedTensors } from "./tensors.ts";
import { elements } from "../../kernels/gpu/tensor.ts";

/**
 * The tensors share one reservation of zeros as large as the largest of them. The system gives it
 * memory only where it is written, and building a model on paper neither reads nor writes it.
 */
export function paperCheckpoint(config: ModelConfig): Checkpoint {
  const expected = expectedTensors(config);
  const lengths = [...expected.values()].map(({ shape }) => 4 * elements(shape));
  const zeros = new SharedArrayBuffer(Math.max(...lengths));
  const tensors: Checkpoint["tensors"] = new Map();
  for (const [name, { shape }] of expected) {
    const bytes = new Uint8Array(zeros, 0, 4 * elements(shape));
    tensors.set(name, { dtype: "F32", shape, bytes });
  }
  return { config, tensors, tokenizer: null, digest: "on paper" };
}
