/** Pictures without FFmpeg: YCbCr to RGB and back (BT.601), scaling, padding. */

/** Chroma samples per luma sample, across and down, of one Y4M colour space; null: no chroma. */
export interface Sampling {
  across: number;
  down: number;
}

/** Bytes of a planar 8-bit picture. */
export function planarBytes(width: number, height: number, chroma: Sampling | null): number {
  if (chroma === null) return width * height;
  return width * height + 2 * Math.ceil(width / chroma.across) * Math.ceil(height / chroma.down);
}

/**
 * A planar 8-bit YCbCr picture as RGB24 [height, width, 3].
 *
 * @param full Levels use 0..255 rather than 16..235 (luma) and 16..240 (chroma).
 */
export function planarToRgb(
  planar: Uint8Array,
  width: number,
  height: number,
  chroma: Sampling | null,
  full: boolean,
): Uint8ClampedArray {
  const rgb = new Uint8ClampedArray(width * height * 3);
  const chromaWidth = chroma === null ? 0 : Math.ceil(width / chroma.across);
  const chromaSize = chroma === null ? 0 : chromaWidth * Math.ceil(height / chroma.down);
  const blue = width * height;
  const [offset, lumaScale, chromaScale] = full ? [0, 1, 1] : [16, 255 / 219, 255 / 224];
  for (let row = 0, to = 0; row < height; row++) {
    for (let column = 0; column < width; column++, to += 3) {
      const y = ((planar[row * width + column] ?? 0) - offset) * lumaScale;
      let b = 0;
      let r = 0;
      if (chroma !== null) {
        const at = blue + Math.floor(row / chroma.down) * chromaWidth +
          Math.floor(column / chroma.across);
        b = ((planar[at] ?? 128) - 128) * chromaScale;
        r = ((planar[at + chromaSize] ?? 128) - 128) * chromaScale;
      }
      rgb[to] = y + 1.402 * r;
      rgb[to + 1] = y - 0.344136 * b - 0.714136 * r;
      rgb[to + 2] = y + 1.772 * b;
    }
  }
  return rgb;
}

/** RGB24 as planar 4:4:4 YCbCr with limited levels: Y, Cb, Cr one after the other. */
export function rgbToPlanar(rgb: Uint8Array): Uint8ClampedArray {
  const size = rgb.length / 3;
  const planar = new Uint8ClampedArray(rgb.length);
  for (let i = 0; i < size; i++) {
    const r = rgb[i * 3] ?? 0;
    const g = rgb[i * 3 + 1] ?? 0;
    const b = rgb[i * 3 + 2] ?? 0;
    const y = 0.299 * r + 0.587 * g + 0.114 * b;
    planar[i] = 16 + (y * 219) / 255;
    planar[i + size] = 128 + ((b - y) / 1.772) * (224 / 255);
    planar[i + 2 * size] = 128 + ((r - y) / 1.402) * (224 / 255);
  }
  return planar;
}

/** For each output position: the first input position and the weights from there on. */
type Taps = { first: number; weights: number[] }[];

/** Triangle filter, widened when shrinking so that every input pixel counts. */
function taps(from: number, to: number): Taps {
  const scale = from / to;
  const support = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale - 0.5;
    const first = Math.max(0, Math.ceil(centre - support));
    const last = Math.min(from - 1, Math.floor(centre + support));
    const raw = Array.from(
      { length: last - first + 1 },
      (_, j) => Math.max(0, 1 - Math.abs(first + j - centre) / support),
    );
    const sum = raw.reduce((a, b) => a + b, 0);
    return { first, weights: raw.map((weight) => weight / sum) };
  });
}

/** Scales pictures of one size into another without distortion; the rest is black. */
export class Fitter {
  readonly #width: number;
  readonly #outWidth: number;
  readonly #outHeight: number;
  readonly #columns: Taps;
  readonly #rows: Taps;
  readonly #left: number;
  readonly #top: number;

  /** @param aspect Width of a pixel divided by its height. */
  constructor(width: number, height: number, aspect: number, outWidth: number, outHeight: number) {
    const display = (width * aspect) / height;
    const innerWidth = Math.max(1, Math.round(Math.min(outWidth, outHeight * display)));
    const innerHeight = Math.max(1, Math.round(Math.min(outHeight, outWidth / display)));
    this.#width = width;
    this.#outWidth = outWidth;
    this.#outHeight = outHeight;
    this.#columns = taps(width, innerWidth);
    this.#rows = taps(height, innerHeight);
    this.#left = Math.floor((outWidth - innerWidth) / 2);
    this.#top = Math.floor((outHeight - innerHeight) / 2);
  }

  /** @param rgb RGB24 of the input's size. @returns RGB24 of the output's size. */
  fit(rgb: ArrayLike<number>): Uint8Array {
    const columns = this.#columns.length;
    const height = (this.#rows.at(-1)?.first ?? 0) + (this.#rows.at(-1)?.weights.length ?? 0);
    const narrow = new Float32Array(columns * height * 3);
    for (let row = 0, to = 0; row < height; row++) {
      for (const { first, weights } of this.#columns) {
        for (let c = 0; c < 3; c++, to++) {
          let at = (row * this.#width + first) * 3 + c;
          let sum = 0;
          for (const weight of weights) {
            sum += weight * (rgb[at] ?? 0);
            at += 3;
          }
          narrow[to] = sum;
        }
      }
    }
    const out = new Uint8ClampedArray(this.#outWidth * this.#outHeight * 3);
    for (const [row, { first, weights }] of this.#rows.entries()) {
      const start = ((this.#top + row) * this.#outWidth + this.#left) * 3;
      for (let i = 0; i < columns * 3; i++) {
        let at = first * columns * 3 + i;
        let sum = 0;
        for (const weight of weights) {
          sum += weight * (narrow[at] ?? 0);
          at += columns * 3;
        }
        out[start + i] = sum;
      }
    }
    return new Uint8Array(out.buffer);
  }
}
