/** The forms that tuning may choose for products and convolutions of a tick, judged as those that it takes. */
import {
  conv,
  convKey,
  convVariants,
  freeConv,
  historyFrames,
  outputGrid,
  packConv,
} from "../../kernels/codec/conv.ts";
import type { ConvShape } from "../../kernels/codec/conv.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Step } from "../../kernels/gpu/plan.ts";
import { makeTensor } from "../../kernels/gpu/tensor.ts";
import { freeWeight, matmul, packWeight } from "../../kernels/matmul/matmul.ts";
import type { ProductShape } from "../../kernels/matmul/matmul_parts.ts";
import { matmulVariants, productKey } from "../../kernels/matmul/matmul_variant.ts";
import { judge, type JudgedKernel } from "./judgement.ts";

/** Every form of these products and convolutions, shape by shape. @param gpu On paper. */
export function judgeCandidates(
  gpu: Gpu,
  { products, convs }: { products: readonly ProductShape[]; convs: readonly ConvShape[] },
): JudgedKernel[] {
  return [
    ...products.map((shape) => productSteps(gpu, shape)),
    ...convs.map((shape) => convSteps(gpu, shape)),
  ].flatMap((forms) =>
    forms.flatMap((steps) => judge(steps.filter((step) => step.kind === "dispatch")))
  );
}

/** The steps of each form. */
function productSteps(gpu: Gpu, shape: ProductShape): Step[][] {
  const { rows, outputs, inputs, dtype, gated, normed, texture } = shape;
  const label = productKey(shape).replace(/^matmul /, "");
  const weight = packWeight(
    gpu,
    label,
    new Float32Array(outputs * inputs),
    outputs,
    inputs,
    dtype,
    {
      ...{ gated, texture },
    },
  );
  const x = makeTensor(gpu, label, [rows, inputs]);
  const y = makeTensor(gpu, label, [rows, gated ? outputs / 2 : outputs]);
  const args = { label, x, weight, y, ...(normed ? { norm: { eps: 1e-6 } } : {}) };
  const steps = [...matmulVariants(gpu, shape).values()].map((form) => matmul(gpu, args, form));
  freeWeight(gpu, weight);
  for (const { buffer } of [x, y]) gpu.free(buffer);
  return steps;
}

function convSteps(gpu: Gpu, shape: ConvShape): Step[][] {
  const { kernel, outputs, x: [, height = 1, width = 1, inputs = 1] } = shape;
  const label = convKey(shape).replace(/^conv /, "");
  const values = new Float32Array(outputs * inputs * kernel[0] * kernel[1] * kernel[2]);
  const weight = packConv(gpu, { label, weight: values, inputs, ...shape });
  const past = historyFrames(shape);
  const state = makeTensor(gpu, label, [past, height, width, inputs]);
  const x = makeTensor(gpu, label, shape.x);
  const y = makeTensor(gpu, label, [...outputGrid(shape), outputs]);
  const args = { label, x, ...(past > 0 ? { state } : {}), weight, y };
  const steps = [...convVariants(gpu, shape).values()].map((form) => conv(gpu, args, form));
  freeConv(gpu, weight);
  for (const { buffer } of [state, x, y]) gpu.free(buffer);
  return steps;
}
