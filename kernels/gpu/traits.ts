/** What kind of adapter this is, as far as kernels choose their shape by it. */

export interface Traits {
  /** The adapter runs on the CPU: a few cores, barriers and workgroup memory are slow. */
  readonly cpu: boolean;
  /** Invocations of a workgroup that does much in each of them: 8 on a CPU, one SIMD register (of
   * AVX-512 too, so that all CPUs add in the same order); 64 on a GPU, one or two subgroups. */
  readonly lanes: number;
  /** Kernels that read much read faster from textures than from storage buffers. llvmpipe gathers
   * from storage buffers lane by lane, 20 times slower (image.ts has the figures); SwiftShader reads
   * them five times slower. */
  readonly texturesFaster: boolean;
}

/** The traits that an adapter's own description tells. */
export function traitsOf({ isFallbackAdapter: cpu }: { isFallbackAdapter: boolean }): Traits {
  return { cpu, lanes: cpu ? 8 : 64, texturesFaster: cpu };
}

/** The choice by which measuring overrules `texturesFaster`: "images" or "buffers". */
export const operandsKey = "operands";
