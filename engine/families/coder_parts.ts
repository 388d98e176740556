/** Puts the layers of an encoder or decoder together with the rules of their tensors. */
import type { LayerConfig } from "../config/config.ts";
import { type PartCoder, taken, type TensorRule } from "./family.ts";

type Rules = Record<string, TensorRule>;

export class CoderParts {
  readonly #layers: LayerConfig[] = [];
  readonly #tensors: Rules = {};

  /** Adds a layer. @param rules By the names of its parameters. */
  add(layer: LayerConfig, rules: Rules): void {
    const index = this.#layers.push(layer) - 1;
    for (const [key, rule] of Object.entries(rules)) this.#tensors[`${index}.${key}`] = rule;
  }

  /** A tensor as it lies: axes of 1 don't count. */
  readonly taken = taken;

  /** Weight and, where there is one, bias of a convolution. @param before Stands before their names. */
  affine(name: string, shape: readonly number[], before = "", bias = true): Rules {
    return {
      [`${before}weight`]: taken(`${name}.weight`, shape),
      ...(bias ? { [`${before}bias`]: taken(`${name}.bias`, shape.slice(0, 1)) } : {}),
    };
  }

  /** A tensor whose outputs are `parts` blocks of channels one after the other: here the blocks alternate
   * within each channel. */
  split(name: string, shape: readonly number[], parts: number): TensorRule {
    const [outputs = 0, ...rest] = shape;
    const view = [parts, outputs / parts, ...rest];
    const order = view.map((_, axis) => axis < 2 ? 1 - axis : axis);
    return { from: [{ name, shape }], view, order };
  }

  coder(): PartCoder {
    return { layers: this.#layers, tensors: this.#tensors };
  }
}
