/** Log-mel spectra of a voice, frame by frame as it comes: 40 bands, 25 ms windows, every 10 ms. */

export const bands = 40;

/** Added to energies before the logarithm: silence is a number too. */
const smallest = 1e-6;

/** A stream's log-mel frames; each covers the hop's samples and the 15 ms before them. */
export class LogMel {
  /** Samples between frames. */
  readonly hop: number;
  readonly #window: Float64Array;
  readonly #fft: Fft;
  readonly #filters: [bin: number, weight: number][][];
  readonly #past: Float64Array;

  constructor(sampleRate: number) {
    this.hop = Math.round(sampleRate / 100);
    const length = Math.round(sampleRate / 40);
    this.#window = Float64Array.from(
      { length },
      (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / length),
    );
    this.#fft = new Fft(2 ** Math.ceil(Math.log2(length)));
    this.#filters = melFilters(sampleRate, this.#fft.size);
    this.#past = new Float64Array(length);
  }

  /** The next samples, whole hops of them, as natural logarithms [hops x bands]. */
  push(samples: Float32Array): Float32Array {
    const { hop } = this;
    const past = this.#past;
    const hops = Math.floor(samples.length / hop);
    const frames = new Float32Array(hops * bands);
    for (let i = 0; i < hops; i++) {
      past.copyWithin(0, hop);
      past.set(samples.subarray(i * hop, (i + 1) * hop), past.length - hop);
      const power = this.#fft.power(past, this.#window);
      this.#filters.forEach((filter, band) => {
        let energy = smallest;
        for (const [bin, weight] of filter) energy += weight * (power[bin] ?? 0);
        frames[i * bands + band] = Math.log(energy);
      });
    }
    return frames;
  }
}

/** Triangles of equal width on the mel scale (2595 log10(1 + f / 700)), from 0 to half the rate. */
function melFilters(sampleRate: number, size: number): [number, number][][] {
  const mel = (hertz: number) => 2595 * Math.log10(1 + hertz / 700);
  const step = mel(sampleRate / 2) / (bands + 1);
  return Array.from({ length: bands }, (_, band) => {
    const filter: [number, number][] = [];
    for (let bin = 0; bin <= size / 2; bin++) {
      const weight = 1 - Math.abs(mel((bin * sampleRate) / size) / step - (band + 1));
      if (weight > 0) filter.push([bin, weight]);
    }
    return filter;
  });
}

/** Radix-2 Fourier transform (Cooley and Tukey) of real input. */
class Fft {
  readonly #re: Float64Array;
  readonly #im: Float64Array;
  readonly #cos: Float64Array;
  readonly #sin: Float64Array;
  readonly #reversed: Uint32Array;
  readonly #power: Float64Array;

  constructor(readonly size: number) {
    const bits = Math.log2(size);
    this.#re = new Float64Array(size);
    this.#im = new Float64Array(size);
    const angle = (i: number) => (-2 * Math.PI * i) / size;
    this.#cos = Float64Array.from({ length: size / 2 }, (_, i) => Math.cos(angle(i)));
    this.#sin = Float64Array.from({ length: size / 2 }, (_, i) => Math.sin(angle(i)));
    this.#reversed = Uint32Array.from({ length: size }, (_, i) => {
      let reversed = 0;
      for (let bit = 0; bit < bits; bit++) reversed |= ((i >> bit) & 1) << (bits - 1 - bit);
      return reversed;
    });
    this.#power = new Float64Array(size / 2 + 1);
  }

  /** Squared magnitudes [size / 2 + 1] of windowed samples, zeros behind them; reused by the next. */
  power(samples: Float64Array, window: Float64Array): Float64Array {
    const [re, im, cos, sin] = [this.#re, this.#im, this.#cos, this.#sin];
    im.fill(0);
    for (let i = 0; i < this.size; i++) {
      re[this.#reversed[i] ?? 0] = i < window.length ? (samples[i] ?? 0) * (window[i] ?? 0) : 0;
    }
    for (let half = 1; half < this.size; half *= 2) {
      const stride = this.size / (2 * half);
      for (let start = 0; start < this.size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const a = start + k;
          const b = a + half;
          const c = cos[k * stride] as number;
          const s = sin[k * stride] as number;
          const x = c * (re[b] as number) - s * (im[b] as number);
          const y = c * (im[b] as number) + s * (re[b] as number);
          re[b] = (re[a] as number) - x;
          im[b] = (im[a] as number) - y;
          re[a] = (re[a] as number) + x;
          im[a] = (im[a] as number) + y;
        }
      }
    }
    for (let i = 0; i < this.#power.length; i++) {
      this.#power[i] = (re[i] ?? 0) ** 2 + (im[i] ?? 0) ** 2;
    }
    return this.#power;
  }
}
