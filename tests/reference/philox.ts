/** Philox4x32-10 in plain integers (Salmon et al., SC 2011). */

type Words = readonly [number, number, number, number];

function multiply(a: number, b: number): [high: number, low: number] {
  const product = BigInt(a) * BigInt(b);
  return [Number(product >> 32n), Number(product & 0xffffffffn)];
}

/** Four random words for a counter and a key. */
export function philox(counter: Words, key: readonly [number, number]): Words {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [aHigh, aLow] = multiply(0xd2511f53, c0);
    const [bHigh, bLow] = multiply(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(bHigh ^ c1 ^ k0) >>> 0, bLow, (aHigh ^ c3 ^ k1) >>> 0, aLow];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Uniform numbers inside (0, 1) with 23 bits, as the kernel makes them. */
export function uniformOf(word: number): number {
  return ((word >>> 9) + 0.5) / 2 ** 23;
}

/** Four normal numbers (Box-Muller) from four words. */
export function normalOf([a, b, c, d]: Words): number[] {
  const first = Math.sqrt(-2 * Math.log(uniformOf(a)));
  const second = Math.sqrt(-2 * Math.log(uniformOf(c)));
  const turn = 2 * Math.PI;
  return [
    first * Math.cos(turn * uniformOf(b)),
    first * Math.sin(turn * uniformOf(b)),
    second * Math.cos(turn * uniformOf(d)),
    second * Math.sin(turn * uniformOf(d)),
  ];
}
