/** Log-mel spectra of a voice, frame by frame as it comes: 40 bands, 25 ms windows, every 10 ms. */
import { fft } from "npm:fourier-transform@2.5.0";

export const bands = 40;

/** Added to energies before the logarithm: silence is a number too. */
const smallest = 1e-6;

/** A stream's log-mel frames; each covers the hop's samples and the 15 ms before them. */
export class LogMel {
  /** Samples between frames. */
  readonly hop: number;
  readonly #window: Float64Array;
  readonly #filters: [bin: number, weight: number][][];
  /** The last samples, as many as a window has. */
  readonly #past: Float64Array;
  /** The same under the window, with zeros behind them up to a power of two. */
  readonly #padded: Float64Array;

  constructor(sampleRate: number) {
    this.hop = Math.round(sampleRate / 100);
    const length = Math.round(sampleRate / 40);
    this.#window = Float64Array.from(
      { length },
      (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / length),
    );
    this.#past = new Float64Array(length);
    this.#padded = new Float64Array(2 ** Math.ceil(Math.log2(length)));
    this.#filters = melFilters(sampleRate, this.#padded.length);
  }

  /** The next samples, whole hops of them, as natural logarithms [hops x bands]. */
  push(samples: Float32Array): Float32Array {
    const { hop } = this;
    const [past, padded, window] = [this.#past, this.#padded, this.#window];
    const hops = Math.floor(samples.length / hop);
    const frames = new Float32Array(hops * bands);
    for (let i = 0; i < hops; i++) {
      past.copyWithin(0, hop);
      past.set(samples.subarray(i * hop, (i + 1) * hop), past.length - hop);
      for (let at = 0; at < past.length; at++) padded[at] = (past[at] ?? 0) * (window[at] ?? 0);
      const [re, im]: [Float64Array, Float64Array] = fft(padded);
      this.#filters.forEach((filter, band) => {
        let energy = smallest;
        for (const [bin, weight] of filter) {
          energy += weight * ((re[bin] ?? 0) ** 2 + (im[bin] ?? 0) ** 2);
        }
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
