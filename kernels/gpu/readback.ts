/**
 * Reading results back without Deno's 10 ms sleep.
 *
 * Deno 2.9 polls the GPU until it is idle inside the call to `mapAsync()` and then sleeps 10 ms
 * before the promise resolves. The data is there when the call RETURNS: on a buffer whose first map
 * was awaited once, `getMappedRange()` right after the call gives it, 0.05-0.09 ms instead of 11.7
 * (on a buffer never mapped before it makes Deno panic). That is undocumented, so each device proves
 * it at start-up with known patterns; where it fails, reading awaits.
 */
import type { Gpu } from "./device.ts";
import { byteOffset, type Tensor, tensorBytes } from "./tensor.ts";

const proven = new WeakMap<Gpu, Promise<boolean>>();

/** A staging buffer that collects tensors and hands their bytes to the host in one read. */
export class Readback {
  readonly #staging: GPUBuffer;
  readonly #size: number;
  readonly #offsets: number[] = [];

  private constructor(
    private readonly gpu: Gpu,
    private readonly tensors: readonly Tensor[],
    private readonly immediate: boolean,
  ) {
    let at = 0;
    for (const tensor of tensors) {
      this.#offsets.push(at);
      at += Math.ceil(tensorBytes(tensor) / 8) * 8;
    }
    this.#size = Math.max(8, at);
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    this.#staging = gpu.buffer("readback", this.#size, usage);
  }

  /** Prepares to read these tensors together (whole 4-byte words each). */
  static async create(gpu: Gpu, tensors: readonly Tensor[]): Promise<Readback> {
    let proof = proven.get(gpu);
    if (!proof) proven.set(gpu, proof = prove(gpu));
    const readback = new Readback(gpu, tensors, await proof);
    await readback.#firstMap();
    return readback;
  }

  async #firstMap(): Promise<void> {
    await this.#staging.mapAsync(GPUMapMode.READ);
    this.#staging.unmap();
  }

  /** Encodes the copies into the staging buffer; call it after the work that fills the tensors. */
  encode(encoder: GPUCommandEncoder): void {
    this.tensors.forEach((tensor, i) => {
      const bytes = Math.ceil(tensorBytes(tensor) / 4) * 4;
      const to = this.#offsets[i] ?? 0;
      encoder.copyBufferToBuffer(tensor.buffer, byteOffset(tensor), this.#staging, to, bytes);
    });
  }

  /** Waits for the GPU and returns a copy of each tensor's bytes. Blocks the thread meanwhile. */
  async read(): Promise<ArrayBuffer[]> {
    const mapped = this.#staging.mapAsync(GPUMapMode.READ);
    if (this.immediate) mapped.catch(() => {});
    else await mapped;
    const all = this.#staging.getMappedRange();
    const parts = this.tensors.map((tensor, i) => {
      const from = this.#offsets[i] ?? 0;
      return all.slice(from, from + tensorBytes(tensor));
    });
    this.#staging.unmap();
    return parts;
  }

  /** True when reads skip the sleep. */
  get skipsSleep(): boolean {
    return this.immediate;
  }

  /** Reads once with waiting, whatever was proven. Used by the proof and by tests. */
  static async awaited(gpu: Gpu, tensors: readonly Tensor[]): Promise<Readback> {
    const readback = new Readback(gpu, tensors, false);
    await readback.#firstMap();
    return readback;
  }

  static async immediately(gpu: Gpu, tensors: readonly Tensor[]): Promise<Readback> {
    const readback = new Readback(gpu, tensors, true);
    await readback.#firstMap();
    return readback;
  }

  destroy(): void {
    this.gpu.free(this.#staging);
  }
}

/** Reads known patterns several times without awaiting; false at the first wrong word or throw. */
async function prove(gpu: Gpu): Promise<boolean> {
  const words = 1024;
  const pattern = new Uint32Array(words);
  const buffer = gpu.buffer("readback proof", words * 4);
  const tensor: Tensor = { buffer, offset: 0, shape: [words], dtype: "u32" };
  const readback = await Readback.immediately(gpu, [tensor]);
  try {
    for (let round = 1; round <= 5; round++) {
      for (let i = 0; i < words; i++) pattern[i] = Math.imul(i + 1, 0x9e3779b1 * round) >>> 0;
      gpu.device.queue.writeBuffer(buffer, 0, pattern);
      const encoder = gpu.device.createCommandEncoder();
      readback.encode(encoder);
      gpu.device.queue.submit([encoder.finish()]);
      const [bytes] = await readback.read();
      const got = new Uint32Array(bytes ?? new ArrayBuffer(0));
      if (got.length !== words || got.some((word, i) => word !== pattern[i])) return false;
    }
    return true;
  } catch {
    return false;
  } finally {
    readback.destroy();
    gpu.free(buffer);
  }
}

/** Reads one tensor as the typed array of its dtype (f16 comes as floats). For tests and set-up. */
export async function readTensor(
  gpu: Gpu,
  tensor: Tensor,
): Promise<Float32Array | Uint32Array | Int32Array> {
  const readback = await Readback.create(gpu, [tensor]);
  const encoder = gpu.device.createCommandEncoder();
  readback.encode(encoder);
  gpu.device.queue.submit([encoder.finish()]);
  const [bytes = new ArrayBuffer(0)] = await readback.read();
  readback.destroy();
  if (tensor.dtype === "f16") return Float32Array.from(new Float16Array(bytes));
  if (tensor.dtype === "u32") return new Uint32Array(bytes);
  if (tensor.dtype === "i32") return new Int32Array(bytes);
  return new Float32Array(bytes);
}
