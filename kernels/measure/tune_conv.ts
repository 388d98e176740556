/** The convolution as a tuning problem: its variants on random data, beside a host's sums. */
import {
  conv,
  convKey,
  type ConvShape,
  type ConvVariant,
  convVariants,
  freeConv,
  historyFrames,
  outputGrid,
  packConv,
} from "../codec/conv.ts";
import type { Gpu } from "../gpu/device.ts";
import { elements, makeTensor, tensorFrom } from "../gpu/tensor.ts";
import type { Problem, Trial } from "./tune.ts";
import { checkedWork, spread, spreadNumbers } from "./tune_matmul.ts";

/** A convolution's variants. */
export function convProblem(gpu: Gpu, shape: ConvShape): Problem<ConvVariant> {
  return {
    key: convKey(shape),
    variants: convVariants(gpu, shape),
    open: () => openTrial(gpu, shape),
  };
}

function openTrial(gpu: Gpu, shape: ConvShape): Trial<ConvVariant> {
  const { outputs, dtype, line, kernel, stride, dilation, upsample = [1, 1] } = shape;
  const [time = 1, height = 1, width = 1, inputs = 1] = shape.x;
  const zeros = shape.zeros ?? [(kernel[1] - stride[1]) / 2, (kernel[2] - stride[2]) / 2];
  const [, lines, positions] = outputGrid(shape);
  const taps = kernel[0] * kernel[1] * kernel[2];
  const past = historyFrames(shape);
  const plane = height * width * inputs;
  // The frames before the unit, then its own.
  const data = spreadNumbers((past + time) * plane, 2);
  const values = spreadNumbers(outputs * inputs * taps, 2 / Math.sqrt(inputs * taps));
  const stored = dtype === "f16" ? Float32Array.from(new Float16Array(values)) : values;
  const bias = spreadNumbers(outputs + 1, 1).subarray(1);
  const state = tensorFrom(
    gpu,
    "tuned state",
    [past, height, width, inputs],
    data.slice(0, past * plane),
  );
  const x = tensorFrom(gpu, "tuned x", shape.x, data.slice(past * plane));
  const y = makeTensor(gpu, "tuned y", [...outputGrid(shape), outputs]);
  const weight = packConv(gpu, {
    ...{ label: "tuned", weight: values, bias, inputs, outputs, dtype, line },
    ...{ kernel, stride, dilation, zeros, upsample },
  });
  /** One output, summed in float64. */
  const sum = (at: number) => {
    const n = at % outputs;
    const place = Math.floor(at / outputs);
    const [frame, row, column] = [
      Math.floor(place / (lines * positions)) * stride[0],
      Math.floor(place / positions) % lines * stride[1] - zeros[0],
      place % positions * stride[2] - zeros[1],
    ];
    let total = bias[n] ?? NaN;
    for (let tap = 0; tap < taps; tap++) {
      const h = row + Math.floor(tap / kernel[2]) % kernel[1];
      const w = column + tap % kernel[2];
      if (h < 0 || w < 0 || h >= height * upsample[0] || w >= width * upsample[1]) continue;
      const t = frame + Math.floor(tap / kernel[2] / kernel[1]) * dilation;
      const line = (t * height + Math.floor(h / upsample[0])) * width + Math.floor(w / upsample[1]);
      for (let c = 0; c < inputs; c++) {
        total += (data[line * inputs + c] ?? NaN) * (stored[(n * inputs + c) * taps + tap] ?? NaN);
      }
    }
    return total;
  };
  const count = Math.max(64, checkedWork / (inputs * taps));
  return {
    steps: (variant) =>
      conv(gpu, { label: "tuned", x, ...(past > 0 ? { state } : {}), weight, y }, variant),
    output: y,
    expected: spread(elements(y.shape), count).map((at) => ({ at, value: sum(at) })),
    tolerance: () => 1e-4,
    close: () => {
      freeConv(gpu, weight);
      for (const { buffer } of [state, x, y]) gpu.free(buffer);
    },
  };
}
