/**
 * Counter-based random numbers in kernels: Philox4x32-10 (see philox.wgsl). The same counter and key
 * give the same words on every adapter and after every resume, in any order of evaluation.
 *
 * Key: the session's seed as two words. Counter: [unit, slot, element, stream], where element counts
 * groups of four numbers, and stream parts the uses that would otherwise share counters.
 */
import code from "./philox.wgsl" with { type: "text" };

/** WGSL with `philox`, `philox_uniform` and `philox_normal`: put it before a kernel's own text. */
export const philoxCode: string = code;

/** Fourth counter word by use. */
export const philoxStream = { noise: 0, sampling: 1 } as const;

/** A seed (a whole number from 0 to 2^53 - 1) as Philox's key: low word, high word. */
export function philoxKey(seed: number): [number, number] {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`seed ${seed}: it may be a whole number from 0 to 2^53 - 1`);
  }
  return [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
}
