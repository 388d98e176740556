/** What a part of the model asks of a checkpoint: its parameters, each with a shape and first values. */

/** How `init` fills a parameter: ones for the weights of norms, else random with this deviation. */
export type Fill = "ones" | { std: number };

export interface Parameter {
  /** As PyTorch has it: a linear layer's weight is [out, in], a convolution's [out, in, t, h, w]. */
  shape: readonly number[];
  fill: Fill;
}

/** Parameters by their names within the part. */
export type Parameters = Record<string, Parameter>;

/** The same entries under `name`: "weight" becomes "conv1.weight". */
export function under<T>(name: string, entries: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(entries).map(([key, value]) => [`${name}.${key}`, value]),
  );
}
