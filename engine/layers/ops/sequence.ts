/** Layers that run one after the other: those of an encoder or decoder, and those inside `skip`. */
import type { LayerConfig } from "../../config/config.ts";
import { type Parameters, under } from "../../weights/parameter.ts";
import type { Fused, Grid, LayerOp, Shape4, Signal } from "./layer.ts";
import type { LayerScope } from "./scope.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { copy, type Step } from "../../../kernels/gpu/plan.ts";
import type { Tensor } from "../../../kernels/gpu/tensor.ts";

/** A layer with the shapes of one unit before and after it. */
export interface PlacedLayer {
  layer: LayerConfig;
  op: LayerOp;
  input: Readonly<Shape4>;
  output: Shape4;
}

/**
 * Layers with their shapes.
 *
 * @param opOf The op of a layer.
 * @param name Before the layers' numbers in messages.
 * @param first The input is a stream's first frame, which comes alone.
 * @throws InputError that names the layer, when one can't follow the one before.
 */
export function place(
  opOf: (layer: LayerConfig) => LayerOp,
  name: string,
  layers: readonly LayerConfig[],
  input: Readonly<Shape4>,
  first = false,
): PlacedLayer[] {
  const placed: PlacedLayer[] = [];
  layers.forEach((layer, i) => {
    const before = placed[i - 1]?.output ?? input;
    const op = opOf(layer);
    const output = op.shape(layer, before, `${name}[${i}] (${layer.op})`, first);
    placed.push({ layer, op, input: before, output });
  });
  return placed;
}

/**
 * The layers' parameters by their names, which begin with the layers' numbers, and the output's mean
 * square with their first values.
 *
 * The first values pass signals on at about unit size: a convolution with weights of variance
 * 1 / (inputs x m) turns the mean square m into 1. The last one makes up for the layers after it, so
 * that the output has the mean square `goal`.
 */
export function sequenceParameters(
  placed: readonly PlacedLayer[],
  signal: Signal,
): { parameters: Parameters; meanSquare: number } {
  const last = placed.findLastIndex(({ op }) => op.reachesGoal);
  const through = ({ op, layer }: PlacedLayer, input: number, goal = 1) =>
    op.meanSquare?.(layer, { input, goal }) ?? input;
  const gain = placed.slice(last + 1).reduce((m, layer) => through(layer, m), 1);
  const parameters: Parameters = {};
  let input = signal.input;
  placed.forEach((each, i) => {
    const goal = i === last ? signal.goal / gain : 1;
    const own = each.op.parameters?.(each.layer, each.input[3], { input, goal }) ?? {};
    Object.assign(parameters, under(String(i), own));
    input = through(each, input, goal);
  });
  return { parameters, meanSquare: input };
}

/** The blocks that the layer at `i` puts in their places in the next one's stead; undefined: none. */
function shuffleAfter(placed: readonly PlacedLayer[], i: number, gpu: Gpu): Grid | undefined {
  const [layer, next] = [placed[i], placed[i + 1]];
  const factor = next?.op.shuffles?.(next.layer);
  return factor && layer?.op.canShuffle?.(layer.layer, gpu, factor) ? factor : undefined;
}

/**
 * Whether layers end in blocks of pixels that the last convolution itself can write as packed bytes: then
 * `sequenceSteps` takes u32 words as the last result's tensor.
 */
export function endsInPixels(placed: readonly PlacedLayer[], gpu: Gpu): boolean {
  return placed.length > 1 && shuffleAfter(placed, placed.length - 2, gpu) !== undefined;
}

/**
 * The steps of all layers.
 *
 * @param scope Above the layers' own.
 * @param x Read, and not released.
 * @param y Gives the last result's tensor.
 * @param fused What the last layer, which takes it, does beside its own work.
 */
export function sequenceSteps(
  placed: readonly PlacedLayer[],
  scope: LayerScope,
  x: Tensor,
  y: () => Tensor,
  fused: Fused = {},
): Step[] {
  const { gpu, memory, settings: { first } } = scope;
  const steps: Step[] = [];
  let from = x;
  for (let i = 0; i < placed.length; i++) {
    const { layer, op } = placed[i] ?? {};
    if (!layer || !op) break;
    const own = scope.child(String(i));
    // An activation right after a layer that takes one is part of it.
    const activation = op.takesActivation ? placed[i + 1]?.op.activation : undefined;
    const shuffle = activation ? undefined : shuffleAfter(placed, i, gpu);
    if (activation || shuffle) i++;
    const { output = x.shape } = placed[i] ?? {};
    const isLast = i + 1 >= placed.length;
    const before = from;
    let made: Tensor | undefined;
    const target = () => made ??= isLast ? y() : memory.take(output);
    if (op.passes?.(layer, first)) {
      steps.push(...op.steps(layer, own, before, () => before, {}));
      if (!isLast) continue;
      steps.push(copy(`${own.label} passes`, before, target()));
    } else {
      const work = {
        ...(isLast ? fused : {}),
        ...(activation ? { activation } : {}),
        ...(shuffle ? { shuffle } : {}),
      };
      steps.push(...op.steps(layer, own, before, target, work));
    }
    if (before !== x) memory.release(before);
    from = target();
  }
  return steps;
}
