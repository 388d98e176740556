/**
 * A plan: a list of dispatches and copies with their bind groups, built once per shape and replayed
 * every tick. Nothing is allocated, bound or looked up while it is encoded; what changes per tick
 * lives in buffers. This is the engine's answer to CUDA graphs.
 */
import type { Gpu } from "./device.ts";
import type { KernelFacts } from "../card/facts.ts";
import { defaultLanes } from "./shader.ts";
import { byteOffset, type Tensor, tensorBytes } from "./tensor.ts";

/** One kernel launch, ready to encode. */
export interface Dispatch {
  readonly kind: "dispatch";
  /** Kernel and what it serves, e.g. "matmul q_proj". */
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindings: readonly GPUBindingResource[];
  readonly bindGroup: GPUBindGroup;
  readonly groups: readonly [number, number, number];
  /** Floating-point operations and bytes that the launch needs at least, for benchmarks. */
  readonly flops: number;
  readonly bytes: number;
  /** Of these, K and V that it reads for each token of history. */
  readonly bytesPerToken?: number;
  /** Where the kernel has variants: what one is chosen by (kernels/measure). */
  readonly tuned?: { readonly kernel: string; readonly shape: object };
  /** What its kernel's form states for judging it without running it. */
  readonly facts?: KernelFacts;
}

/** A copy between two buffers. */
export interface Copy {
  readonly kind: "copy";
  readonly label: string;
  readonly source: GPUBuffer;
  readonly sourceOffset: number;
  readonly target: GPUBuffer;
  readonly targetOffset: number;
  readonly bytes: number;
}

/** A copy from a buffer into a rectangle of a texture (kernels/gpu/texture.ts). */
export interface TextureCopy {
  readonly kind: "texture";
  readonly label: string;
  readonly source: GPUTexelCopyBufferInfo;
  readonly target: GPUTexelCopyTextureInfo;
  readonly size: readonly [width: number, height: number];
  readonly bytes: number;
}

export type Step = Dispatch | Copy | TextureCopy;

/** Copies a tensor's elements over another's of the same size (other buffer; whole 4-byte words). */
export function copy(label: string, source: Tensor, target: Tensor): Copy {
  if (tensorBytes(source) !== tensorBytes(target)) {
    throw new RangeError(`copy ${label}: [${source.shape}] to [${target.shape}]`);
  }
  return {
    kind: "copy",
    label,
    source: source.buffer,
    sourceOffset: byteOffset(source),
    target: target.buffer,
    targetOffset: byteOffset(target),
    bytes: tensorBytes(source),
  };
}

/**
 * Makes a dispatch.
 *
 * @param bindings In the order of `@binding(0..)` in group 0.
 * @param grid Workgroups; or a number of items, one invocation each (`#items` in a template), in
 * workgroups of as many lanes as the template was told.
 * @throws RangeError when there are no workgroups, or more than the adapter can run.
 */
export function dispatch(
  gpu: Gpu,
  label: string,
  pipeline: GPUComputePipeline,
  bindings: readonly (Tensor | GPUBufferBinding | GPUTextureView)[],
  grid: readonly [x: number, y: number, z: number] | { items: number; lanes?: number },
  cost: Partial<Pick<Dispatch, "flops" | "bytes" | "bytesPerToken" | "tuned" | "facts">> = {},
): Dispatch {
  const limit = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  const groups = "items" in grid
    ? inRows(Math.ceil(grid.items / (grid.lanes ?? defaultLanes)), limit)
    : grid;
  if (groups.some((count) => count < 1 || count > limit || !Number.isInteger(count))) {
    throw new RangeError(`${label}: workgroups [${groups}] must each be 1 to ${limit}`);
  }
  const resources = bindings.map((b) => "shape" in b ? { buffer: b.buffer } : b);
  return {
    kind: "dispatch",
    label,
    pipeline,
    bindings: resources,
    bindGroup: bind(gpu, label, pipeline, resources),
    groups,
    flops: 0,
    bytes: 0,
    ...cost,
  };
}

/** A grid of as many workgroups: one row while that fits. */
function inRows(groups: number, limit: number): [number, number, number] {
  const rows = Math.ceil(groups / limit);
  return [Math.ceil(groups / rows), rows, 1];
}

/** The kernel that a launch is of: its label begins with it. */
export function kernelName({ label }: Pick<Dispatch, "label">): string {
  return /^(attention merge|qk rotary|\S+)/.exec(label)?.[0] ?? label;
}

function bind(
  gpu: Gpu,
  label: string,
  pipeline: GPUComputePipeline,
  resources: readonly GPUBindingResource[],
): GPUBindGroup {
  return gpu.device.createBindGroup({
    label,
    layout: pipeline.getBindGroupLayout(0),
    entries: resources.map((resource, binding) => ({ binding, resource })),
  });
}

export class Plan {
  readonly steps: readonly Step[];

  constructor(steps: readonly Step[]) {
    this.steps = steps;
  }

  /** Encodes every step; consecutive dispatches share one compute pass. */
  encode(encoder: GPUCommandEncoder): void {
    let pass: GPUComputePassEncoder | undefined;
    let pipeline: GPUComputePipeline | undefined;
    for (const step of this.steps) {
      if (step.kind !== "dispatch") {
        pass?.end();
        pass = pipeline = undefined;
        encodeCopy(encoder, step);
        continue;
      }
      pass ??= encoder.beginComputePass();
      if (step.pipeline !== pipeline) pass.setPipeline(pipeline = step.pipeline);
      pass.setBindGroup(0, step.bindGroup);
      pass.dispatchWorkgroups(...step.groups);
    }
    pass?.end();
  }

  /** Encodes as if nothing had been recorded: every bind group made anew. Only for benchmarks. */
  encodeAnew(gpu: Gpu, encoder: GPUCommandEncoder): void {
    const steps = this.steps.map((step): Step =>
      step.kind !== "dispatch"
        ? step
        : { ...step, bindGroup: bind(gpu, step.label, step.pipeline, step.bindings) }
    );
    new Plan(steps).encode(encoder);
  }
}

function encodeCopy(encoder: GPUCommandEncoder, step: Copy | TextureCopy): void {
  if (step.kind === "texture") {
    encoder.copyBufferToTexture(step.source, step.target, [...step.size]);
    return;
  }
  const { source, sourceOffset, target, targetOffset, bytes } = step;
  encoder.copyBufferToBuffer(source, sourceOffset, target, targetOffset, bytes);
}

/** What can be part of a submit: a plan, or commands that no plan has. */
export type Work = Pick<Plan, "encode">;

/** Runs work in one submit. */
export function submit(gpu: Gpu, ...work: readonly Work[]): void {
  const encoder = gpu.device.createCommandEncoder();
  for (const part of work) part.encode(encoder);
  gpu.device.queue.submit([encoder.finish()]);
}
