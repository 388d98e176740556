/**
 * Reading results back without Deno's 10 ms sleep.
 *
 * Deno 2.9 polls the GPU until it is idle inside the call to `mapAsync()` and then sleeps 10 ms
 * before the promise resolves. The data is there when the call RETURNS: on a buffer whose first map
 * was awaited once, `getMappedRange()` right after the call gives it, 0.05-0.09 ms instead of 11.7
 * (on a buffer never mapped before it makes Deno panic). That is undocumented, so each device proves
 * it at start-up with known patterns; where it fails, reading awaits.
 */
import { bufferUsage, type Gpu, mapRead } from "./device.ts";
import { submit, type Work } from "./plan.ts";
import { byteOffset, type Tensor, tensorBytes } from "./tensor.ts";

/** The bytes of each tensor. */
type Contents<T extends readonly Tensor[]> = { -readonly [K in keyof T]: ArrayBuffer };

/** A staging buffer that collects tensors and hands their bytes to the host in one read. */
export class Readback<const T extends readonly Tensor[] = readonly Tensor[]> {
  private readonly gpu: Gpu;
  private readonly tensors: T;
  private readonly forced: { skipsSleep: boolean } | undefined;
  readonly #bytes: number;
  /** Made when it is prepared. */
  #staging: GPUBuffer | undefined;
  #isShared = false;
  readonly #offsets: readonly number[];
  /** Known once it is prepared. */
  #skipsSleep: boolean | undefined;

  /**
   * @param tensors What is read together; whole 4-byte words each.
   * @param forced Whether reads skip the sleep, whatever was proven: for the proof itself, and to
   * compare with it.
   */
  constructor(
    gpu: Gpu,
    tensors: T,
    forced?: { skipsSleep: boolean },
  ) {
    this.gpu = gpu;
    this.tensors = tensors;
    this.forced = forced;
    let at = 0;
    this.#offsets = tensors.map((tensor) => (at += tensorBytes(tensor)) - tensorBytes(tensor));
    this.#bytes = at;
  }

  /** Does the first map, which is slow, now and not in the first run. A read that skips the sleep is
   * over when it returns: the parts of a device share its memory. */
  async prepare(): Promise<this> {
    const { skipsSleep } = this.forced ??
      { skipsSleep: await this.gpu.scratch("readback proof", (root) => prove(root)) };
    const make = async (gpu: Gpu) => {
      const usage = bufferUsage.MAP_READ | bufferUsage.COPY_DST;
      const staging = gpu.buffer("readback", this.#bytes, usage);
      await staging.mapAsync(mapRead);
      staging.unmap();
      // In an object, because on paper a buffer answers to every name, "then" too.
      return { staging };
    };
    this.#isShared = skipsSleep && this.gpu.root !== this.gpu;
    const { staging } =
      await (this.#isShared
        ? this.gpu.shared(`readback of ${this.#bytes} bytes`, make)
        : make(this.gpu));
    this.#staging = staging;
    this.#skipsSleep = skipsSleep;
    return this;
  }

  /** Encodes the copies into the staging buffer, after the work that fills the tensors. */
  encode(encoder: GPUCommandEncoder): void {
    const staging = this.#prepared();
    this.tensors.forEach((tensor, i) => {
      const to = this.#offsets[i] ?? 0;
      const bytes = tensorBytes(tensor);
      encoder.copyBufferToBuffer(tensor.buffer, byteOffset(tensor), staging, to, bytes);
    });
  }

  /**
   * Runs work and the copies after it in one submit, waits for the GPU and returns a copy of each
   * tensor's bytes. Blocks the thread meanwhile.
   */
  async run(...work: readonly Work[]): Promise<Contents<T>> {
    if (!this.#staging) await this.prepare();
    const staging = this.#prepared();
    submit(this.gpu, ...work, this);
    const mapped = staging.mapAsync(mapRead);
    if (this.#skipsSleep) mapped.catch(() => {});
    else await mapped;
    const all = staging.getMappedRange();
    const parts = this.tensors.map((tensor, i) => {
      const from = this.#offsets[i] ?? 0;
      return all.slice(from, from + tensorBytes(tensor));
    });
    staging.unmap();
    return parts as Contents<T>;
  }

  /** True when reads skip the sleep; known once it is prepared. */
  get skipsSleep(): boolean {
    return this.#skipsSleep ?? false;
  }

  destroy(): void {
    if (this.#staging && !this.#isShared) this.gpu.free(this.#staging);
  }

  #prepared(): GPUBuffer {
    if (!this.#staging) throw new Error("a readback is prepared before it is encoded");
    return this.#staging;
  }
}

/** Reads known patterns several times without awaiting; false at the first wrong word or throw. */
async function prove(gpu: Gpu): Promise<boolean> {
  if (gpu.isPaper) return true;
  const words = 1024;
  const pattern = new Uint32Array(words);
  const buffer = gpu.buffer("readback proof", words * 4);
  const tensor: Tensor = { buffer, offset: 0, shape: [words], dtype: "u32" };
  const readback = new Readback(gpu, [tensor], { skipsSleep: true });
  try {
    for (let round = 1; round <= 5; round++) {
      for (let i = 0; i < words; i++) pattern[i] = Math.imul(i + 1, 0x9e3779b1 * round) >>> 0;
      gpu.device.queue.writeBuffer(buffer, 0, pattern);
      const got = new Uint32Array((await readback.run())[0]);
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

/** Reads one tensor as the typed array of its dtype (f16 comes as floats), after work if there is
 * some. For tests and set-up. */
export async function readTensor(
  gpu: Gpu,
  tensor: Tensor,
  ...work: readonly Work[]
): Promise<Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>> {
  const readback = new Readback(gpu, [tensor]);
  const [bytes] = await readback.run(...work);
  readback.destroy();
  if (tensor.dtype === "f16") return Float32Array.from(new Float16Array(bytes));
  if (tensor.dtype === "u32") return new Uint32Array(bytes);
  if (tensor.dtype === "i32") return new Int32Array(bytes);
  return new Float32Array(bytes);
}
