/**
 * A coder is an encoder or a decoder: layers that run one after the other on one unit of a stream.
 * This file knows numbers only; streaming_coder.ts runs them.
 */
import type { LayerConfig } from "../config/config.ts";
import { type Parameters, under } from "../weights/parameter.ts";
import type { Shape4 } from "./ops/layer.ts";
import { layerOp } from "./registry.ts";
import { place, type PlacedLayer, sequenceParameters } from "./ops/sequence.ts";

export interface Coder {
  /** Before the names of its tensors and in messages, e.g. "response.audio.decoder". */
  name: string;
  layers: readonly LayerConfig[];
  /** Shape of one unit of its input. */
  input: Readonly<Shape4>;
  /** Shape of a stream's first frame, where that comes alone before the first unit. */
  first?: Readonly<Shape4>;
  /** Samples per second of the sound that it reads or gives. */
  sampleRate: number;
}

type Layers = Pick<Coder, "name" | "layers" | "input">;

/**
 * The layers of a coder with their shapes.
 *
 * @throws InputError that names the layer, when one can't follow the one before.
 */
export function placeLayers({ name, layers, input }: Layers): PlacedLayer[] {
  return place(layerOp, name, layers, input);
}

/** The same for a stream's first frame where that comes alone; else there are none. @throws InputError */
export function placeFirst({ name, layers, first }: Coder): PlacedLayer[] {
  return first ? place(layerOp, `${name} at the first frame`, layers, first, true) : [];
}

/** What a coder makes of one unit: the last layer's shape. @throws InputError */
export function coderOutput(coder: Layers): Shape4 {
  return placeLayers(coder).at(-1)?.output ?? [...coder.input];
}

/** A coder's parameters by their whole names, the shape of its output, and the output's mean square with
 * its first weights. */
export function coderParameters(
  coder: Layers,
  signal = { input: 1, goal: 1 },
): { parameters: Parameters; output: Readonly<Shape4>; meanSquare: number } {
  const placed = placeLayers(coder);
  const { parameters, meanSquare } = sequenceParameters(placed, signal);
  const output = placed.at(-1)?.output ?? coder.input;
  return { parameters: under(coder.name, parameters), output, meanSquare };
}
