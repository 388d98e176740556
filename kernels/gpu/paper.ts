/**
 * A device on paper: it takes every call by which plans are built, and computes nothing. Buffers and
 * textures are labels and sizes, what is written to them is dropped, and reading gives zeros.
 */

/** A large GPU's limits, as far as kernels ask for them. */
const largeLimits = {
  maxBufferSize: 2 ** 40,
  maxStorageBufferBindingSize: 2 ** 32 - 4,
  maxTextureDimension2D: 32768,
  maxComputeWorkgroupsPerDimension: 65535,
  maxComputeWorkgroupStorageSize: 49152,
  maxComputeInvocationsPerWorkgroup: 1024,
  minUniformBufferOffsetAlignment: 256,
  minStorageBufferOffsetAlignment: 256,
};

/** Takes every call and every member of a member, and gives itself. */
const nothing: unknown = new Proxy(() => {}, {
  // It can be awaited like any value that is no promise.
  get: (_, name) => name === "then" ? undefined : nothing,
  apply: () => nothing,
});

/** @param limits Those of the device that it stands for; by default a large GPU's. */
export function paperDevice(limits: Readonly<Partial<GPUSupportedLimits>> = largeLimits) {
  const known: Record<string, unknown> = {
    limits,
    features: new Set(),
    lost: new Promise(() => {}),
    popErrorScope: () => Promise.resolve(null),
    createBuffer: ({ label, size }: GPUBufferDescriptor) => {
      const getMappedRange = () => new ArrayBuffer(size);
      return instance(GPUBuffer, { label, size, getMappedRange });
    },
    createTexture: ({ label, format }: GPUTextureDescriptor) =>
      instance(GPUTexture, { label, format }),
  };
  return new Proxy(known, {
    get: (_, name) => known[String(name)] ?? nothing,
  }) as unknown as GPUDevice;
}

/** What `instanceof` takes for one of this class; members that aren't given do nothing. */
function instance(of: { prototype: object }, members: Record<string, unknown>): unknown {
  const get = (_: object, name: string | symbol) => members[String(name)] ?? nothing;
  return new Proxy(Object.create(of.prototype), { get });
}
