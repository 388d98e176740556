/**
 * A coder is an encoder or a decoder: layers that run one after the other on one unit of a stream.
 * This file knows numbers only; streaming_coder.ts runs them.
 */
import type { LayerConfig } from "../config/config.ts";
import { type Parameters, under } from "../weights/parameter.ts";
import type { LayerOp, Shape4 } from "./ops/layer.ts";
import { layerOp } from "./registry.ts";

export interface Coder {
  /** Before the names of its tensors and in messages, e.g. "response.audio.decoder". */
  name: string;
  layers: readonly LayerConfig[];
  /** Shape of one unit of its input. */
  input: Readonly<Shape4>;
  /** Samples per second of the sound that it reads or gives. */
  sampleRate: number;
}

/** A layer with the shapes of one unit before and after it. */
export interface PlacedLayer {
  layer: LayerConfig;
  op: LayerOp;
  input: Readonly<Shape4>;
  output: Shape4;
}

type Layers = Pick<Coder, "name" | "layers" | "input">;

/**
 * The layers of a coder with their shapes.
 *
 * @throws InputError that names the layer, when one can't follow the one before.
 */
export function placeLayers({ name, layers, input }: Layers): PlacedLayer[] {
  const placed: PlacedLayer[] = [];
  layers.forEach((layer, i) => {
    const before = placed[i - 1]?.output ?? input;
    const op = layerOp(layer);
    const output = op.shape(layer, before, `${name}[${i}] (${layer.op})`);
    placed.push({ layer, op, input: before, output });
  });
  return placed;
}

/** What a coder makes of one unit: the last layer's shape. @throws InputError */
export function coderOutput(coder: Layers): Shape4 {
  return placeLayers(coder).at(-1)?.output ?? [...coder.input];
}

/**
 * A coder's parameters by their whole names, the shape of its output, and the output's mean square with
 * its first weights.
 *
 * The first weights pass signals on at about unit size: a convolution with weights of variance
 * 1 / (inputs x m) turns the mean square m into 1. The last one makes up for the layers after it, so
 * that the output has the mean square `goal`.
 */
export function coderParameters(
  coder: Layers,
  signal = { input: 1, goal: 1 },
): { parameters: Parameters; output: Readonly<Shape4>; meanSquare: number } {
  const placed = placeLayers(coder);
  const last = placed.findLastIndex(({ op }) => op.reachesGoal);
  const through = ({ op, layer }: PlacedLayer, input: number, goal = 1) =>
    op.meanSquare?.(layer, { input, goal }) ?? input;
  const gain = placed.slice(last + 1).reduce((m, layer) => through(layer, m), 1);
  const parameters: Parameters = {};
  let input = signal.input;
  placed.forEach((each, i) => {
    const goal = i === last ? signal.goal / gain : 1;
    const own = each.op.parameters?.(each.layer, each.input[3], { input, goal }) ?? {};
    Object.assign(parameters, under(`${coder.name}.${i}`, own));
    input = through(each, input, goal);
  });
  return { parameters, output: placed.at(-1)?.output ?? coder.input, meanSquare: input };
}
