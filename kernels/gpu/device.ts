/** One GPU device: buffers, pipelines and small constants, all counted and all freed by `destroy`. */
import { type AdapterSpec, operandsKey, requestAdapter, type Traits, traitsOf } from "./adapter.ts";
import { card } from "../card/facts.ts";
import { InputError } from "./errors.ts";
import { paperDevice } from "./paper.ts";
import { fill, type Texts } from "./shader.ts";

/** Names of variants by kernel and shape. */
export type Choices = Readonly<Record<string, string>>;

const arenaBytes = 64 << 10;
/** WebGPU's `GPUBufferUsage`, `GPUTextureUsage` and `GPUMapMode`, as far as they are used. A script that
 * is checked with TypeScript's lib "dom" has their types, but not their names. */
export const bufferUsage = {
  MAP_READ: 0x1,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  QUERY_RESOLVE: 0x200,
} as const;
const textureUsage = { COPY_DST: 0x2, TEXTURE_BINDING: 0x4, STORAGE_BINDING: 0x8 } as const;
export const mapRead = 0x1;

const { COPY_DST, COPY_SRC, STORAGE, UNIFORM } = bufferUsage;
const storage = STORAGE | UNIFORM | COPY_SRC | COPY_DST;

/** TypeScript's library may lack their names. */
const subgroups = "subgroups" as GPUFeatureName;
const subgroupBarrier = "wgpu-subgroup-barrier" as GPUFeatureName;
const wide = "wgpu-shader-int64" as GPUFeatureName;

/** Opens a device with subgroup operations where they can be had. Deno doesn't list the features, but
 * grants them (denoland/deno, 2.9.6). */
async function withSubgroups(
  adapter: GPUAdapter,
  { requiredFeatures, ...rest }: { requiredFeatures: GPUFeatureName[] } & GPUDeviceDescriptor,
): Promise<GPUDevice> {
  const { isFallbackAdapter: cpu } = adapter.info;
  const all = [subgroups, subgroupBarrier];
  for (const more of [...(cpu ? [[...all, wide]] : []), all, [subgroups]]) {
    try {
      return await adapter.requestDevice({
        ...rest,
        requiredFeatures: [...requiredFeatures, ...more],
      });
    } catch {
      // The next with less.
    }
  }
  return await adapter.requestDevice({ ...rest, requiredFeatures });
}

export class Gpu {
  readonly device: GPUDevice;
  readonly name: string;
  readonly identity: string;
  private readonly described: Traits;
  /** Plans can be built on it and counted, but nothing runs and contents are not wanted. */
  readonly isPaper: boolean;
  /** Bytes of all live buffers and textures. */
  allocatedBytes = 0;
  /** Resolves with the reason when the device is lost or destroyed. */
  readonly lost: Promise<string>;
  /** The bytes of what is live. */
  #resources = new Map<GPUBuffer | GPUTexture, number>();
  #pipelines = new Map<string, GPUComputePipeline>();
  #shared = new Map<string, unknown>();
  #constants = new Map<string, GPUBufferBinding>();
  #arena: { buffer: GPUBuffer; used: number } | undefined;
  #error: string | undefined;
  /** The device that this is a part of; its own where it is none. */
  readonly root: Gpu;
  #choices: Choices = {};

  /**
   * @param name What the adapter calls itself.
   * @param identity The rest of what it says of itself and its driver.
   */
  private constructor(
    device: GPUDevice,
    name: string,
    identity: string,
    described: Traits,
    isPaper = false,
    root?: Gpu,
  ) {
    this.root = root ?? this;
    this.device = device;
    this.name = name;
    this.identity = identity;
    this.described = described;
    this.isPaper = isPaper;
    this.lost = root?.lost ?? device.lost.then((info) => info.message || info.reason);
    if (root) return;
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#error ??= (event as GPUUncapturedErrorEvent).error.message;
    });
  }

  /** Opens a device on the adapter that `spec` selects, with the adapter's own buffer limits.
   *
   * @throws InputError when there is none. */
  static async open(spec: AdapterSpec = "default"): Promise<Gpu> {
    const adapter = await requestAdapter(spec);
    const wanted = [
      "maxStorageBufferBindingSize",
      "maxBufferSize",
      "maxComputeWorkgroupStorageSize",
      "maxComputeInvocationsPerWorkgroup",
      "maxComputeWorkgroupSizeX",
      "maxStorageBuffersPerShaderStage",
    ] as const;
    const requiredLimits: Record<string, number> = {};
    for (const name of wanted) requiredLimits[name] = adapter.limits[name];
    const features: GPUFeatureName[] = ["timestamp-query", "shader-f16"];
    const requiredFeatures = features.filter((feature) => adapter.features.has(feature));
    const device = await withSubgroups(adapter, { requiredLimits, requiredFeatures });
    const { vendor, architecture, device: id, description } = adapter.info;
    const identity = [vendor, architecture, id, description].filter((text) => text).join(" ");
    return new Gpu(
      device,
      description || id || "unnamed adapter",
      identity,
      traitsOf(
        adapter.info,
        device.features.has(subgroups) ? adapter.info.subgroupMinSize : 0,
        device.features.has(subgroupBarrier),
        device.features.has("shader-f16"),
        device.features.has(wide),
      ),
    );
  }

  /** A device on paper: like an open one (with its choices), or like a large GPU. */
  static onPaper(like?: Gpu): Gpu {
    const traits = like?.traits ??
      traitsOf({ isFallbackAdapter: false }, card.subgroup, false, true);
    const gpu = new Gpu(paperDevice(like?.device.limits), "paper", "", traits, true);
    gpu.choices = like?.choices ?? {};
    return gpu;
  }

  /** A part of this device: what is allocated on it is counted and freed by itself. Kernels, constants,
   * scratch memory and what is `shared` are the whole device's. The parts of a device hold sessions of
   * one model. */
  part(): Gpu {
    const { device, name, identity, described, isPaper, root } = this;
    return new Gpu(device, name, identity, described, isPaper, root);
  }

  /** The variant of each kernel and shape that measurement chose (kernels/measure/tune.ts); where it names
   * none, kernels take their static default. Set it before anything is built. */
  get choices(): Choices {
    return this.root.#choices;
  }

  set choices(choices: Choices) {
    this.root.#choices = choices;
  }

  /** What kind of adapter this is: as it describes itself, or as it was measured. */
  get traits(): Traits {
    const operands = this.choices[operandsKey];
    if (operands === undefined) return this.described;
    return { ...this.described, texturesFaster: operands === "textures" };
  }

  /**
   * Makes a zeroed buffer.
   *
   * @param bytes Rounded up to whole 16 bytes, which kernels read as a vector.
   * @param usage By default a storage buffer that can be copied to and from, and bound as a uniform.
   * @throws InputError when the adapter has no buffers of this size.
   */
  buffer(label: string, bytes: number, usage: number = storage): GPUBuffer {
    const { maxBufferSize } = this.device.limits;
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    if (size > maxBufferSize) {
      throw new InputError(
        `${label}: ${size} bytes are over this adapter's limit of ${maxBufferSize} for one buffer; ` +
          `take a smaller model, smaller pictures or a shorter history`,
      );
    }
    return this.#counted(this.device.createBuffer({ label, size, usage }), size);
  }

  /**
   * Makes a zeroed texture of `texelBytes` per texel that kernels read with `textureLoad`.
   *
   * @throws InputError when the adapter has no textures of this size.
   */
  texture(
    label: string,
    size: readonly [width: number, height: number],
    format: GPUTextureFormat,
    texelBytes: number,
  ): GPUTexture {
    const { maxTextureDimension2D: limit } = this.device.limits;
    if (size.some((extent) => extent > limit)) {
      throw new InputError(
        `${label}: a texture of ${
          size.join(" x ")
        } is over this adapter's limit of ${limit}; take ` +
          `smaller pictures, or a codec with fewer channels`,
      );
    }
    const { TEXTURE_BINDING, STORAGE_BINDING, COPY_DST } = textureUsage;
    const usage = TEXTURE_BINDING | STORAGE_BINDING | COPY_DST;
    const texture = this.device.createTexture({ label, size: [...size], format, usage });
    return this.#counted(texture, size[0] * size[1] * texelBytes);
  }

  #counted<T extends GPUBuffer | GPUTexture>(resource: T, bytes: number): T {
    this.#resources.set(resource, bytes);
    this.#count(bytes);
    return resource;
  }

  #count(bytes: number): void {
    this.allocatedBytes += bytes;
    if (this.root !== this) this.root.allocatedBytes += bytes;
  }

  /** Frees a buffer or texture now: they carry no garbage-collection pressure. */
  free(resource: GPUBuffer | GPUTexture): void {
    this.#count(-(this.#resources.get(resource) ?? 0));
    if (this.#resources.delete(resource)) resource.destroy();
  }

  /**
   * What all kernels of this device share under a name, e.g. memory that each of them fills right
   * before it reads it: made at the first call, on the whole device. A name always stands for the same
   * type.
   */
  scratch<T>(name: string, make: (root: Gpu) => T): T {
    const shared = this.root.#shared;
    if (!shared.has(name)) shared.set(name, make(this.root));
    return shared.get(name) as T;
  }

  /** What all parts of a device have in common under a name: weights, and tensors that are written and
   * read within one submit. On a device that isn't parted it is made anew each time. */
  shared<T>(name: string, make: (gpu: Gpu) => T): T {
    return this.root === this ? make(this) : this.scratch(`shared ${name}`, make);
  }

  /** A compute pipeline for the entry point `main` of a template (see `fill`), made once per text.
   *
   * @throws RangeError as `fill` does. */
  pipeline(label: string, template: string, texts: Texts = {}): GPUComputePipeline {
    const code = fill(template, texts);
    const { root } = this;
    let pipeline = root.#pipelines.get(code);
    if (!pipeline) {
      this.device.pushErrorScope("validation");
      const module = this.device.createShaderModule({ label, code });
      const compute = { module, entryPoint: "main" };
      pipeline = this.device.createComputePipeline({ label, layout: "auto", compute });
      this.device.popErrorScope().then((error) => {
        if (error) root.#error ??= `kernel ${label}: ${error.message}`;
      });
      root.#pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  /** A small uniform binding with fixed content, cut from a shared buffer; the same content gives the
   * same binding. Kernels declare a `UniformStruct` and call its `bind`.
   *
   * @param content Bytes, a multiple of 16. */
  constants(content: ArrayBuffer): GPUBufferBinding {
    const { root } = this;
    if (root !== this) return root.constants(content);
    const key = new Uint32Array(content).join();
    const known = this.#constants.get(key);
    if (known) return known;
    const size = content.byteLength;
    const align = this.device.limits.minUniformBufferOffsetAlignment;
    if (!this.#arena || this.#arena.used + size > arenaBytes) {
      const usage = UNIFORM | COPY_DST;
      this.#arena = { buffer: this.buffer("constants", arenaBytes, usage), used: 0 };
    }
    const { buffer, used } = this.#arena;
    this.device.queue.writeBuffer(buffer, used, content);
    this.#arena.used = Math.ceil((used + size) / align) * align;
    const binding = { buffer, offset: used, size };
    this.#constants.set(key, binding);
    return binding;
  }

  /**
   * Asks whether all went well; what WebGPU reports arrives late.
   *
   * @throws Error with the first message that WebGPU reported since the last call.
   */
  async check(): Promise<void> {
    // One turn of the event loop delivers what error scopes have found so far.
    await new Promise((resolve) => setTimeout(resolve, 0));
    const { root } = this;
    const error = root.#error;
    root.#error = undefined;
    if (error) throw new Error(`${this.name}: ${error}`);
  }

  /** Frees everything that was made on it. */
  destroy(): void {
    for (const resource of this.#resources.keys()) this.free(resource);
    if (this.root === this) this.device.destroy();
  }
}
