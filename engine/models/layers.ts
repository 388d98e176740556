/** Short ways to write layers down, for presets. */
import type { LayerConfig } from "../config/config.ts";

type Triple = [number, number, number];

export function conv(
  channels: number,
  kernel: Triple = [1, 1, 1],
  stride: Triple = [1, 1, 1],
): LayerConfig {
  return stride.some((s) => s > 1)
    ? { op: "conv", channels, kernel, stride }
    : { op: "conv", channels, kernel };
}

export function residual(kernel: Triple, dilation = 1, channels?: number): LayerConfig {
  return {
    op: "residual",
    kernel,
    ...(dilation > 1 ? { dilation } : {}),
    ...(channels === undefined ? {} : { channels }),
  };
}

export const silu: LayerConfig = { op: "silu" };

export function unshuffle(...factor: Triple): LayerConfig {
  return { op: "unshuffle", factor };
}

export function shuffle(...factor: Triple): LayerConfig {
  return { op: "shuffle", factor };
}

export function overlapAdd(hop: number): LayerConfig {
  return { op: "overlap_add", hop };
}

/** Halves height and width. */
export function halve(channels: number): LayerConfig {
  return conv(channels, [1, 4, 4], [1, 2, 2]);
}

/** Doubles height and width: a pointwise convolution whose channels become the pixels' blocks. */
export function double(channels: number): LayerConfig[] {
  return [conv(4 * channels), shuffle(1, 2, 2)];
}
