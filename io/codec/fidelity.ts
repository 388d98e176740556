/** How near a codec's way back comes to what went in: over a whole stream, unit by unit. */
import { LogMel } from "../eval/measures/logmel.ts";

export interface AudioFidelity {
  /** Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019); null: silence, or no
   * difference. */
  siSdr: number | null;
  /** Mean absolute difference of log-mel spectra (40 bands, every 10 ms) in dB. */
  logMel: number | null;
}

/** Of sound. */
export class SoundFidelity {
  readonly #mels: [LogMel, LogMel];
  readonly #sums = { n: 0, s: 0, e: 0, ss: 0, ee: 0, se: 0 };
  #difference = 0;
  #frames = 0;

  constructor(sampleRate: number) {
    this.#mels = [new LogMel(sampleRate), new LogMel(sampleRate)];
  }

  /** @param truth The unit's samples that went in. @param estimate What came back. */
  add(truth: Float32Array, estimate: Float32Array): void {
    const sums = this.#sums;
    for (let i = 0; i < truth.length; i++) {
      const [s, e] = [truth[i] ?? 0, estimate[i] ?? 0];
      sums.s += s;
      sums.e += e;
      sums.ss += s * s;
      sums.ee += e * e;
      sums.se += s * e;
    }
    sums.n += truth.length;
    const [a, b] = [this.#mels[0].push(truth), this.#mels[1].push(estimate)];
    for (let i = 0; i < a.length; i++) this.#difference += Math.abs((a[i] ?? 0) - (b[i] ?? 0));
    this.#frames += a.length;
  }

  result(): AudioFidelity {
    const { n, s, e, ss, ee, se } = this.#sums;
    // Without their means.
    const [truth, estimate, both] = [ss - (s * s) / n, ee - (e * e) / n, se - (s * e) / n];
    const target = (both * both) / truth;
    const decibel = 10 * Math.log10(target / (estimate - target));
    return {
      siSdr: Number.isFinite(decibel) ? decibel : null,
      logMel: this.#frames === 0 ? null : ((10 / Math.LN10) * this.#difference) / this.#frames,
    };
  }
}

export interface VideoFidelity {
  /** Peak signal-to-noise ratio over all bytes of RGB in dB; null: no difference. */
  psnr: number | null;
  /** Mean structural similarity of luma (Wang et al. 2004: 11 x 11 Gaussian window, deviation 1.5). */
  ssim: number | null;
}

/** Of pictures. */
export class PictureFidelity {
  private readonly width: number;
  private readonly height: number;
  #squares = 0;
  #bytes = 0;
  #ssim = 0;
  #frames = 0;

  constructor({ width, height }: { width: number; height: number }) {
    this.width = width;
    this.height = height;
  }

  /** @param truth RGB24 frames that went in. @param estimate What came back. */
  add(truth: Uint8Array, estimate: Uint8Array): void {
    const bytes = this.width * this.height * 3;
    for (let i = 0; i < truth.length; i++) {
      const difference = (truth[i] ?? 0) - (estimate[i] ?? 0);
      this.#squares += difference * difference;
    }
    this.#bytes += truth.length;
    for (let at = 0; at < truth.length; at += bytes) {
      const [a, b] = [truth, estimate].map((frames) => luma(frames.subarray(at, at + bytes)));
      if (a && b) this.#ssim += ssim(a, b, this.width, this.height);
      this.#frames++;
    }
  }

  result(): VideoFidelity {
    const psnr = 10 * Math.log10((255 * 255 * this.#bytes) / this.#squares);
    return {
      psnr: Number.isFinite(psnr) ? psnr : null,
      ssim: this.#frames === 0 ? null : this.#ssim / this.#frames,
    };
  }
}

/** ITU-R BT.601's, 0 to 255. */
function luma(rgb: Uint8Array): Float64Array {
  return Float64Array.from(
    { length: rgb.length / 3 },
    (_, i) =>
      0.299 * (rgb[3 * i] ?? 0) + 0.587 * (rgb[3 * i + 1] ?? 0) + 0.114 * (rgb[3 * i + 2] ?? 0),
  );
}

const taps = Array.from({ length: 11 }, (_, i) => Math.exp(-((i - 5) ** 2) / (2 * 1.5 ** 2)));
const gaussian = taps.map((tap) => tap / taps.reduce((a, b) => a + b, 0));

/** Mean structural similarity of two pictures, over windows that lie whole in them; of smaller pictures the
 * window is cut. */
export function ssim(a: Float64Array, b: Float64Array, width: number, height: number): number {
  const blur = (values: Float64Array) => blurred(values, width, height);
  const product = (x: Float64Array, y: Float64Array) => x.map((value, i) => value * (y[i] ?? 0));
  const [ma, mb] = [blur(a), blur(b)];
  const [aa, bb, ab] = [blur(product(a, a)), blur(product(b, b)), blur(product(a, b))];
  const [c1, c2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];
  let sum = 0;
  for (let i = 0; i < ma.length; i++) {
    const [x, y] = [ma[i] ?? 0, mb[i] ?? 0];
    const [xx, yy, xy] = [(aa[i] ?? 0) - x * x, (bb[i] ?? 0) - y * y, (ab[i] ?? 0) - x * y];
    sum += ((2 * x * y + c1) * (2 * xy + c2)) / ((x * x + y * y + c1) * (xx + yy + c2));
  }
  return sum / ma.length;
}

/** Under the window, along rows and then along columns. */
function blurred(values: Float64Array, width: number, height: number): Float64Array {
  const line = (size: number) =>
    size >= 11 ? gaussian : Array.from({ length: size }, () => 1 / size);
  const [across, down] = [line(width), line(height)];
  const [columns, rows] = [width - across.length + 1, height - down.length + 1];
  const half = new Float64Array(columns * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < columns; x++) {
      let sum = 0;
      for (let i = 0; i < across.length; i++) {
        sum += (across[i] ?? 0) * (values[y * width + x + i] ?? 0);
      }
      half[y * columns + x] = sum;
    }
  }
  const whole = new Float64Array(columns * rows);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      let sum = 0;
      for (let i = 0; i < down.length; i++) {
        sum += (down[i] ?? 0) * (half[(y + i) * columns + x] ?? 0);
      }
      whole[y * columns + x] = sum;
    }
  }
  return whole;
}
