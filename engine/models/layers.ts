/** Short ways to write stack layers down, for presets. */
import type { StackLayer } from "../config/config.ts";

type Triple = [number, number, number];

export function conv(
  channels: number,
  kernel: Triple = [1, 1, 1],
  stride: Triple = [1, 1, 1],
): StackLayer {
  return stride.some((s) => s > 1)
    ? { op: "conv", channels, kernel, stride }
    : { op: "conv", channels, kernel };
}

export function residual(kernel: Triple, dilation = 1, channels?: number): StackLayer {
  return {
    op: "residual",
    kernel,
    ...(dilation > 1 ? { dilation } : {}),
    ...(channels === undefined ? {} : { channels }),
  };
}

export const silu: StackLayer = { op: "silu" };

export function unshuffle(...factor: Triple): StackLayer {
  return { op: "unshuffle", factor };
}

export function shuffle(...factor: Triple): StackLayer {
  return { op: "shuffle", factor };
}

export function overlapAdd(hop: number): StackLayer {
  return { op: "overlap_add", hop };
}

/** Halves height and width. */
export function halve(channels: number): StackLayer {
  return conv(channels, [1, 4, 4], [1, 2, 2]);
}

/** Doubles height and width: a pointwise convolution whose channels become the pixels' blocks. */
export function double(channels: number): StackLayer[] {
  return [conv(4 * channels), shuffle(1, 2, 2)];
}
