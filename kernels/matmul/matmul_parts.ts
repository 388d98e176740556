/** What the forms of the matrix product share: what they are asked, their constants, text and cost. */
import { type Activation, activationCode } from "../gpu/activation.ts";
import type { Gpu } from "../gpu/device.ts";
import type { KernelFacts } from "../card/facts.ts";
import { type Dispatch, dispatch } from "../gpu/plan.ts";
import type { Texts } from "../gpu/shader.ts";
import { scratchTensor, type Tensor, tensorBytes } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import endCode from "./matmul_end.wgsl" with { type: "text" };
import joinCode from "./matmul_join.wgsl" with { type: "text" };
import partsCode from "./matmul_parts.wgsl" with { type: "text" };
import {
  isQuantized,
  outputBytes,
  type PackedWeight,
  panelBinding,
  panelLayout,
  weightReader,
} from "./packed_weight.ts";

export interface MatmulArguments {
  label: string;
  /** f32 [M, K]. */
  x: Tensor;
  weight: PackedWeight;
  /** f32 [M, N] (a gated weight: [M, N / 2]), in another buffer than x and bias. */
  y: Tensor;
  /** Divides every row of x by sqrt(mean(x^2) + eps) first: an RMSNorm whose weight is the `scale`
   * that W was packed with. */
  norm?: { eps: number };
  /** f32 [N]; not with a gated weight. */
  bias?: Tensor;
  /** Applied after the bias. */
  activation?: Activation;
  /** y += instead of y =: the residual stream. */
  accumulate?: boolean;
  /** Multiplies the result before it is stored or added (1): y += factor (x W^T + bias) is a step of
   * a solver. */
  factor?: number;
}

/** `quads`: groups of four inputs; `outputs`: columns of y in this dispatch; x starts in texels, y and
 * bias start in elements or vec4, as does the length of y's rows, `stride`. */
const sizes = new UniformStruct("Sizes", {
  u32: "rows panels quads outputs x y stride bias parts",
  f32: "eps factor",
});

/** What a product's speed depends on. */
export type ProductShape =
  & Pick<PackedWeight, "outputs" | "inputs" | "dtype" | "texture" | "gated">
  & { rows: number; normed: boolean };

export function productShape({ x, weight, norm }: MatmulArguments): ProductShape {
  const { outputs, inputs, dtype, texture, gated } = weight;
  const normed = norm !== undefined;
  return { rows: x.shape[0] ?? 0, outputs, inputs, dtype, texture, gated, normed };
}

/** The product that a launch is for; undefined: another kernel's. */
export function productOf({ tuned }: Pick<Dispatch, "tuned">): ProductShape | undefined {
  return tuned?.kernel === "matmul" ? tuned.shape as ProductShape : undefined;
}

/** A form of the product: its kernel and how much one invocation or workgroup makes of y. */
export interface ProductForm {
  kernel: string;
  /** What stands before everything else: WGSL's directives. */
  directives?: string;
  /** Its WGSL, to follow matmul_parts.wgsl, and what only it names. */
  code: string;
  texts: Texts;
  /** Rows that an invocation sums, and the sums that it ends at once. */
  tile: number;
  sums: number;
  /** How `x_at` reads. */
  x: {
    binding: Tensor | GPUBufferBinding | GPUTextureView;
    start: number;
    declaration: string;
    code: string;
  };
  /** Invocations per workgroup, and in all for as many outputs. */
  lanes: number;
  invocations: (outputs: number) => number;
  facts: KernelFacts;
  /** Parts of the inputs that workgroups sum apart (1), each with its invocations; a launch joins them. */
  parts?: number;
}

/** One dispatch per part of the weight. */
export function productSteps(gpu: Gpu, args: MatmulArguments, form: ProductForm): Dispatch[] {
  const { label, x, y, bias, weight, norm, activation, accumulate, factor } = args;
  const { dtype, gated, inputs } = weight;
  const [rows = 0] = x.shape;
  const scalar = weight.outputs % 4 !== 0;
  const unit = scalar ? 1 : 4;
  const yType = scalar ? "f32" : "vec4f";
  const reader = weightReader(weight, "weight");
  const quantized = isQuantized(dtype);
  const template = `${form.directives ?? ""}${partsCode}\n${endCode}\n${form.code}`;
  const end = {
    normed: norm !== undefined,
    gated,
    has_bias: bias !== undefined,
    accumulate: accumulate ?? false,
    y_type: yType,
    activate: activationCode(yType, activation),
  };
  const pipeline = gpu.pipeline(form.kernel, template, {
    ...form.texts,
    sizes,
    scalar,
    quantized,
    half: dtype === "f16",
    int8: dtype === "int8",
    tile: form.tile,
    sums: form.sums,
    quad_texels: panelLayout(dtype).quadTexels,
    block_texels: panelLayout(dtype).blockTexels,
    x: form.x.declaration,
    weight: reader.declaration,
    readers: `${form.x.code}\n\n${reader.code}`,
    ...end,
  });
  const { parts = 1 } = form;
  return weight.parts.flatMap((part) => {
    const halved = gated ? 2 : 1;
    const [first, width] = [part.first / halved, part.outputs / halved];
    const constants = sizes.bind(gpu, {
      rows,
      panels: Math.ceil(part.outputs / 8),
      quads: inputs / 4,
      outputs: width,
      x: form.x.start,
      y: (y.offset + first) / unit,
      stride: (y.shape[1] ?? 0) / unit,
      bias: ((bias?.offset ?? 0) + first) / unit,
      eps: norm?.eps ?? 0,
      factor: factor ?? 1,
      parts,
    });
    const panels = Math.ceil(part.outputs / 8);
    const partials = parts === 1
      ? undefined
      : scratchTensor(gpu, "product partials", [4 * parts * rows * (2 * panels + 1)]);
    const product = dispatch(
      gpu,
      `matmul ${label}`,
      pipeline,
      [
        ...[constants, form.x.binding, panelBinding(part.panels), partials ?? y],
        ...(bias ? [bias] : []),
      ],
      { items: form.invocations(part.outputs), lanes: form.lanes },
      {
        flops: 2 * rows * part.outputs * inputs,
        bytes: tensorBytes(x) + 4 * rows * width + part.outputs * outputBytes(dtype, inputs),
        tuned: { kernel: "matmul", shape: productShape(args) },
        facts: form.facts,
      },
    );
    if (!partials) return [product];
    const texts = { sizes, scalar, sums: 2, ...end };
    const join = gpu.pipeline("matmul join", joinCode.replace("{{end}}", () => endCode), texts);
    return [
      product,
      dispatch(
        gpu,
        `matmul join ${label}`,
        join,
        [constants, partials, y, ...(bias ? [bias] : [])],
        {
          items: rows * panels,
        },
        { bytes: 16 * parts * rows * (2 * panels + 1) + 4 * rows * width },
      ),
    ];
  });
}
