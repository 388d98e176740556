/** A preset's checkpoint with random weights, in memory: what `init` writes, for measuring speed. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { dtypeBytes, type FileDtype } from "../weights/safetensors.ts";
import { elements } from "../../kernels/gpu/tensor.ts";
import { newCheckpoint } from "./new_checkpoint.ts";
import { preset as shapeOf, type PresetName } from "./presets.ts";

/** @param progress Called with the part of the weights (0 to 1) that is made. */
export async function randomCheckpoint(
  preset: PresetName,
  seed: number,
  dtype: FileDtype,
  progress: (part: number) => void = () => {},
): Promise<Checkpoint> {
  const made = await newCheckpoint({ shape: shapeOf(preset), name: preset, seed, dtype });
  const size = (shape: readonly number[]) => elements(shape) * dtypeBytes[dtype];
  const all = made.tensors.reduce((sum, { shape }) => sum + size(shape), 0);
  const tensors: Checkpoint["tensors"] = new Map();
  let done = 0;
  for (const spec of made.tensors) {
    const bytes = new Uint8Array(new SharedArrayBuffer(size(spec.shape)));
    let at = 0;
    for await (const chunk of made.data(spec)) {
      bytes.set(chunk, at);
      at += chunk.length;
      progress((done += chunk.length) / all);
    }
    tensors.set(spec.name, { dtype: spec.dtype, shape: spec.shape, bytes });
  }
  const tokenizer: unknown = JSON.parse(made.files.get("tokenizer.json") ?? "null");
  return { config: made.config, tensors, tokenizer, digest: `${preset}, random from seed ${seed}` };
}
