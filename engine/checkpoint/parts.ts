/** The parts of a checkpoint that were published by others: which tensors they are, and where from. */
import type { ModelConfig, PartName } from "../config/config.ts";

/** How the names of a part's tensors begin. */
const starts: Readonly<Record<PartName, readonly string[]>> = {
  backbone: ["model.", "lm_head."],
  audio_codec: ["response.audio.encoder.", "response.audio.decoder."],
  video_codec: ["response.video.encoder.", "response.video.decoder."],
};

/** True for a tensor of this part. */
export function isOfPart(part: PartName, tensor: string): boolean {
  return starts[part].some((start) => tensor.startsWith(start));
}

/** The part that a checkpoint was composed of and that holds a tensor; null: it is none's. */
export function partOf({ parts = [] }: Pick<ModelConfig, "parts">, tensor: string) {
  return parts.find(({ part }) => isOfPart(part, tensor)) ?? null;
}
