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

/** @param limits Those of the device that it stands for; by default a large GPU's. */
export function paperDevice(limits: Readonly<Partial<GPUSupportedLimits>> = largeLimits) {
  const nothing = () => {};
  const done = () => Promise.resolve(null);
  const pass = {
    setPipeline: nothing,
    setBindGroup: nothing,
    dispatchWorkgroups: nothing,
    end: nothing,
  };
  const encoder = {
    beginComputePass: () => pass,
    clearBuffer: nothing,
    copyBufferToBuffer: nothing,
    copyBufferToTexture: nothing,
    finish: () => ({}),
  };
  const device = {
    limits,
    features: new Set(),
    lost: new Promise(nothing),
    addEventListener: nothing,
    pushErrorScope: nothing,
    popErrorScope: done,
    createBuffer: ({ label, size }: GPUBufferDescriptor) =>
      instance(GPUBuffer, {
        label,
        size,
        mapAsync: done,
        getMappedRange: () => new ArrayBuffer(size),
        unmap: nothing,
        destroy: nothing,
      }),
    createTexture: ({ label, format }: GPUTextureDescriptor) =>
      instance(GPUTexture, { label, format, createView: () => ({}), destroy: nothing }),
    createShaderModule: () => ({}),
    createComputePipeline: () => ({ getBindGroupLayout: () => ({}) }),
    createBindGroup: () => ({}),
    createCommandEncoder: () => encoder,
    queue: { writeBuffer: nothing, writeTexture: nothing, submit: nothing },
    destroy: nothing,
  };
  return device as unknown as GPUDevice;
}

/** An object that `instanceof` takes for one of this class. */
function instance(of: { prototype: object }, members: Record<string, unknown>): object {
  const descriptors = Object.entries(members).map(([name, value]) => [name, { value }]);
  return Object.create(of.prototype, Object.fromEntries(descriptors));
}
