/** Encoders and decoders with random weights, for tests of their streaming. */
import type { LayerConfig } from "../../../engine/config/config.ts";
import type { PartCoder } from "../../../engine/families/family.ts";
import { type CodecPart, coderRules } from "../../../engine/families/part.ts";
import { coderParameters } from "../../../engine/layers/coder.ts";
import type { Shape4 } from "../../../engine/layers/ops/layer.ts";
import { StreamingCoder } from "../../../engine/layers/streaming_coder.ts";
import { type CheckpointTensor, Weights } from "../../../engine/weights/weights.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { Plan } from "../../../kernels/gpu/plan.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { elements, upload } from "../../../kernels/gpu/tensor.ts";
import { type Block, block, coderReference } from "../../reference/coder.ts";
import { integer, normal, random } from "../../reference/random.ts";

/** Of sound in the tests' coders. */
export const sampleRate = 16000;

/** An encoder or decoder with weights: what tests build at any span. */
export interface Model {
  prefix: string;
  layers: LayerConfig[];
  /** Shape of one unit. */
  input: Shape4;
  /** A stream's first frame comes alone. */
  first?: boolean;
  tensors: Map<string, CheckpointTensor>;
}

export function toTensor(shape: readonly number[], data: Float32Array): CheckpointTensor {
  const bytes = new Uint8Array(new SharedArrayBuffer(4 * data.length));
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return { dtype: "F32", shape: [...shape], bytes };
}

/** Random weights that keep signals at about unit size. */
export function model(prefix: string, layers: LayerConfig[], input: Shape4): Model {
  const next = random(prefix.length + layers.length + input[0]);
  const { parameters } = coderParameters({ name: prefix, layers, input });
  const tensors = new Map<string, CheckpointTensor>();
  for (const [name, { shape }] of Object.entries(parameters)) {
    const fanIn = elements(shape.slice(1));
    // A layer scale is multiplied into weights before they are rounded: powers of two round alike.
    const data = name.endsWith(".scale")
      ? Float32Array.from({ length: elements(shape) }, () => 2 ** integer(next, -2, 1))
      : shape.length === 1
      ? normal(next, elements(shape), 0.2, name.endsWith("bias") ? 0 : 1)
      : normal(next, elements(shape), 1 / Math.sqrt(fanIn));
    tensors.set(name, toTensor(shape, data));
  }
  return { prefix, layers, input, tensors };
}

export function coder(gpu: Gpu, { prefix, layers, input: [t, ...rest], first, tensors }: Model, {
  units = 1,
  storage = "f32",
}: { units?: number; storage?: "f32" | "f16" } = {}): StreamingCoder {
  const input: Shape4 = [t * units, ...rest];
  const [, ...frame] = input;
  const alone: { first?: Shape4 } = first ? { first: [1, ...frame] } : {};
  const one = { name: prefix, layers, input, sampleRate, ...alone };
  return new StreamingCoder(gpu, one, Weights.of(tensors), storage);
}

/** Runs a coder over a span. */
export async function run(gpu: Gpu, coder: StreamingCoder, x: Float32Array): Promise<Float32Array> {
  upload(gpu, coder.input, x);
  return Float32Array.from(await readTensor(gpu, coder.output, new Plan(coder.steps)));
}

/** Runs a stream's first frame, which comes alone, over a coder. */
export async function runFirst(
  gpu: Gpu,
  { first }: StreamingCoder,
  x: Float32Array,
): Promise<Float32Array> {
  if (!first) throw new Error("no first frame comes alone");
  upload(gpu, first.input, x);
  return Float32Array.from(await readTensor(gpu, first.output, new Plan(first.steps)));
}

/** Runs a recording in spans of these many units, the state handed from coder to coder; its first frame
 * before them, where that comes alone. */
export async function inSpans(
  gpu: Gpu,
  model: Model,
  x: Float32Array,
  spans: readonly number[],
): Promise<number[]> {
  const unit = elements(model.input);
  const coders = new Map([...new Set(spans)].map((units) => [units, coder(gpu, model, { units })]));
  const result: number[] = [];
  let state: Uint8Array | undefined;
  let at = 0;
  if (model.first) {
    const opener = coders.get(spans[0] ?? 1) as StreamingCoder;
    const part = await runFirst(gpu, opener, x.subarray(0, at = unit / model.input[0]));
    for (const value of part) result.push(value);
    state = await opener.exportState();
  }
  for (const units of spans) {
    const current = coders.get(units) as StreamingCoder;
    if (state) current.importState(state);
    const part = await run(gpu, current, x.subarray(at, at += units * unit));
    for (const value of part) result.push(value);
    state = await current.exportState();
  }
  for (const made of coders.values()) made.destroy();
  return result;
}

/** What a coder makes of a whole recording, in float64. */
export function reference(
  { prefix, layers, input: [t, ...rest], first = false, tensors }: Model,
  x: Float32Array,
  units: number,
): Block {
  return coderReference(
    layers,
    block([t * units + (first ? 1 : 0), ...rest], x),
    (name) => {
      const tensor = tensors.get(`${prefix}.${name}`);
      if (!tensor) throw new Error(`no tensor ${prefix}.${name}`);
      return new Float32Array(tensor.bytes.buffer);
    },
    sampleRate,
    first,
  );
}

/** A recording of so many units, after a first frame where that comes alone. */
export function recording(
  { input, first }: Model,
  units: number,
  seed = 1,
): Float32Array<ArrayBuffer> {
  const [frames] = input;
  const count = (units + (first ? 1 / frames : 0)) * elements(input);
  return Float32Array.from(normal(random(seed), count));
}

/** An encoder or decoder of a codec's files. */
export async function partModel(
  part: CodecPart,
  side: PartCoder,
  name: string,
  input: Shape4,
): Promise<Model> {
  const tensors = new Map<string, CheckpointTensor>();
  for (const [key, { rule, shape }] of coderRules(name, side, input)) {
    const data = await part.read(rule);
    const bytes = new Uint8Array(new SharedArrayBuffer(data.length));
    bytes.set(data);
    tensors.set(key, { dtype: part.dtype(rule), shape, bytes });
  }
  return { prefix: name, layers: [...side.layers], input, tensors };
}
