/** Changes a sample rate by band-limited interpolation, chunk by chunk. */

/** Zero crossings of the sinc on each side, and table entries between two of them. */
const crossings = 32;
const precision = 512;
/** Kaiser window: about 80 dB of stopband. */
const beta = 8.6;
/** Cutoff as a part of the lower Nyquist frequency. */
const rolloff = 0.945;

/** Right half of the windowed sinc, one entry more for the interpolation. */
const table = Float64Array.from({ length: crossings * precision + 2 }, (_, i) => {
  const x = i / precision;
  if (x >= crossings) return 0;
  const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
  return sinc * bessel(beta * Math.sqrt(1 - (x / crossings) ** 2)) / bessel(beta);
});

/** Modified Bessel function of the first kind, order 0. */
function bessel(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-17; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

/**
 * Streaming resampler from one rate to another (both in Hz, > 0). Output sample n is the input's
 * band-limited value at n / to seconds: nothing is shifted. Any cut of the input into chunks gives
 * the same samples; n input samples give round(n x to / from) in all.
 *
 * Windowed sinc with an interpolated table: J. O. Smith, "Digital Audio Resampling Home Page", 2002.
 */
export class Resampler {
  readonly #from: number;
  readonly #to: number;
  /** Input samples per zero crossing of the filter. */
  readonly #spread: number;
  #kept = new Float32Array(0);
  /** Index in the input of the first kept sample, of the next one to arrive, of the next output. */
  #first = 0;
  #next = 0;
  #output = 0;

  constructor(from: number, to: number) {
    this.#from = from;
    this.#to = to;
    this.#spread = Math.max(1, from / to) / rolloff;
  }

  /** Takes the next samples; gives those outputs whose whole neighbourhood has arrived. */
  push(samples: Float32Array): Float32Array {
    if (this.#from === this.#to) return samples;
    const kept = new Float32Array(this.#kept.length + samples.length);
    kept.set(this.#kept);
    kept.set(samples, this.#kept.length);
    this.#kept = kept;
    this.#next += samples.length;
    const reach = crossings * this.#spread;
    const until = Math.floor(((this.#next - 1 - reach) * this.#to) / this.#from);
    return this.#outputs(until + 1);
  }

  /** The end of the input: gives the outputs that are left, as if silence followed. */
  flush(): Float32Array {
    if (this.#from === this.#to) return new Float32Array(0);
    return this.#outputs(Math.round((this.#next * this.#to) / this.#from));
  }

  #outputs(until: number): Float32Array {
    const count = Math.max(0, until - this.#output);
    const out = Float32Array.from({ length: count }, (_, i) => this.#at(this.#output + i));
    this.#output += count;
    const reach = Math.ceil(crossings * this.#spread);
    const first = Math.floor((this.#output * this.#from) / this.#to) - reach;
    if (first > this.#first) {
      this.#kept = this.#kept.slice(first - this.#first);
      this.#first = first;
    }
    return out;
  }

  #at(output: number): number {
    const time = (output * this.#from) / this.#to;
    const reach = crossings * this.#spread;
    const start = Math.max(this.#first, Math.ceil(time - reach));
    const end = Math.min(this.#next - 1, Math.floor(time + reach));
    let sum = 0;
    for (let i = start; i <= end; i++) {
      const x = (Math.abs(i - time) / this.#spread) * precision;
      const index = Math.floor(x);
      const low = table[index] ?? 0;
      const high = table[index + 1] ?? 0;
      sum += (this.#kept[i - this.#first] ?? 0) * (low + (high - low) * (x - index));
    }
    return sum / this.#spread;
  }
}
