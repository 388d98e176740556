/** What kernel tests share: a device per test file, poisoned tensors, comparison with tolerance. */
import { Gpu } from "../../kernels/gpu/device.ts";
import { InputError } from "../../kernels/gpu/errors.ts";
import { Plan, type Step, submit } from "../../kernels/gpu/plan.ts";
import {
  elements,
  type ElementType,
  makeTensor,
  type Tensor,
  upload,
} from "../../kernels/gpu/tensor.ts";

/** WANSTREAM_TEST_ADAPTER chooses the adapter (see kernels/gpu/adapter.ts); without it the default. */
const spec = Deno.env.get("WANSTREAM_TEST_ADAPTER") ?? "default";

let opened: Promise<Gpu> | undefined;

/** The test file's device: one for all its tests, so that pipelines are compiled once. */
function open(): Promise<Gpu> {
  if (!opened) {
    opened = Gpu.open(spec);
    const close = () => opened?.then((gpu) => gpu.destroy(), () => {});
    globalThis.addEventListener("unload", close);
  }
  return opened;
}

/** Registers a test that runs on an adapter; where there is none it is skipped, and its name says
 * why. Fails on any error that WebGPU reports. Buffers that the test leaves behind are freed when
 * the file is done; big ones it should free itself. */
export function withGpu(
  name: string,
  fn: (gpu: Gpu, context: Deno.TestContext) => void | Promise<void>,
): void {
  Deno.test({
    name,
    // Reads may leave a resolved map promise behind (kernels/gpu/readback.ts).
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async (context) => {
      let gpu: Gpu;
      try {
        gpu = await open();
      } catch (error) {
        // An adapter that somebody asked for must be there.
        if (!(error instanceof InputError) || spec !== "default") throw error;
        await context.step({ name: `skipped: ${error.message}`, ignore: true, fn: () => {} });
        return;
      }
      await fn(gpu, context);
      await gpu.check();
    },
  });
}

/** Runs steps in one submit. */
export function run(gpu: Gpu, ...steps: readonly Step[]): void {
  submit(gpu, new Plan(steps));
}

/** A tensor full of NaN (u32: all ones) that starts `offset` elements into its buffer, with `room` for
 * so many after it, so that what a
 * kernel leaves unwritten and what it reads or writes too far shows. */
export function poisoned(
  gpu: Gpu,
  label: string,
  shape: readonly number[],
  { dtype = "f32", offset = 4, room = 8 }: { dtype?: ElementType; offset?: number; room?: number } =
    {},
): Tensor {
  const whole = makeTensor(gpu, label, [offset + elements(shape) + room], dtype);
  const words = new Uint32Array(whole.buffer.size / 4).fill(0xffffffff);
  gpu.device.queue.writeBuffer(whole.buffer, 0, words);
  return { buffer: whole.buffer, offset, shape, dtype };
}

/** A tensor with data that starts `offset` elements into its buffer; NaN on both sides of it. */
export function surrounded(
  gpu: Gpu,
  label: string,
  shape: readonly number[],
  data: Float32Array | Uint32Array,
  options: { dtype?: ElementType; offset?: number; room?: number } = {},
): Tensor {
  const dtype = options.dtype ?? (data instanceof Float32Array ? "f32" : "u32");
  const tensor = poisoned(gpu, label, shape, { ...options, dtype });
  if (data.length !== elements(shape)) {
    throw new RangeError(`${label}: ${data.length} values for the shape [${shape}]`);
  }
  upload(gpu, tensor, data);
  return tensor;
}

export interface Tolerance {
  /** Allowed difference = absolute + relative x |expected|. */
  absolute?: number;
  relative?: number;
  /** Splits flat indices in the message into this shape's. */
  shape?: readonly number[];
}

/** Throws when values differ by more than absolute + relative x |expected| (NaN always differs); the
 * message has the first few mismatches with their indices. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { absolute = 0, relative = 0, shape }: Tolerance,
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} values, expected ${expected.length}`);
  }
  const shown: string[] = [];
  let wrong = 0;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i] ?? NaN;
    const e = expected[i] ?? NaN;
    if (a === e || Math.abs(a - e) <= absolute + relative * Math.abs(e)) continue;
    wrong++;
    if (shown.length < 5) shown.push(`[${index(i, shape)}] is ${a}, expected ${e}`);
  }
  if (wrong > 0) {
    throw new Error(
      `${wrong} of ${expected.length} values differ by more than ${absolute} + ${relative} x |expected|: ` +
        shown.join("; "),
    );
  }
}

function index(flat: number, shape: readonly number[] | undefined): string {
  if (!shape) return String(flat);
  const parts: number[] = [];
  for (const extent of [...shape].reverse()) {
    parts.unshift(flat % extent);
    flat = Math.floor(flat / extent);
  }
  return parts.join(", ");
}
