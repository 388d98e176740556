/**
 * `skip`: x + what the `layers` make of it; with a `shortcut`, a layer too, that layer's result + theirs.
 * The last of the layers is a convolution. Names of tensors: "0.weight" for the layers' by their numbers,
 * "shortcut.weight".
 */
import type { LayerConfig } from "../../config/config.ts";
import type { Fields } from "../../config/config_fields.ts";
import { InputError } from "../../config/errors.ts";
import { under } from "../../weights/parameter.ts";
import type { LayerOp, Shape4 } from "./layer.ts";
import { place, sequenceParameters, sequenceSteps } from "./sequence.ts";

export type SkipConfig = { op: "skip"; layers: LayerConfig[]; shortcut?: LayerConfig };

/** Mean square of what the first weights add, relative to the input's. */
const branch = 0.25;

/** How many skips may stand in one another. */
const depth = 4;

/** @param layerOp, parseLayers, parseLayer Of the registry, which lists this op too. */
export function skip({ layerOp, parseLayers, parseLayer }: {
  layerOp(layer: LayerConfig): LayerOp;
  parseLayers(parent: Fields, key: string): LayerConfig[];
  parseLayer(fields: Fields): LayerConfig;
}) {
  const placed = ({ layers }: SkipConfig, input: Readonly<Shape4>, what = "", first = false) =>
    place(layerOp, what, layers, input, first);
  const added = ({ shortcut }: SkipConfig, input: Readonly<Shape4>, what = "", first = false) =>
    shortcut ? place(layerOp, `${what}.shortcut`, [shortcut], input, first) : [];
  return {
    parse: (fields) => {
      if (fields.path.split("layers[").length > depth) {
        throw fields.error("op", `another layer: not more than ${depth} skips in one another`);
      }
      return {
        op: "skip",
        layers: parseLayers(fields, "layers"),
        ...(fields.has("shortcut") ? { shortcut: parseLayer(fields.object("shortcut")) } : {}),
      };
    },
    shape(layer, input, what, first): Shape4 {
      const inner = placed(layer, input, what, first).at(-1);
      const outer = added(layer, input, what, first).at(-1);
      const other = outer?.output ?? input;
      if (!inner?.op.takesAddition || (outer && !outer.op.takesAddition)) {
        throw new InputError(`${what}: its layers must end in a conv, and its shortcut be one`);
      }
      if (inner.output.join() !== other.join()) {
        throw new InputError(
          `${what}: its layers make [${inner.output}] of [${input}], which can't be added to ` +
            `[${other}]; give both the same shape`,
        );
      }
      return inner.output;
    },
    parameters(layer, channels, { input }) {
      const one: Shape4 = [1, 1, 1, channels];
      const inner = sequenceParameters(placed(layer, one), { input, goal: input * branch });
      const { shortcut } = layer;
      const outer = shortcut &&
        layerOp(shortcut).parameters?.(shortcut, channels, { input, goal: input });
      return { ...inner.parameters, ...under("shortcut", outer ?? {}) };
    },
    state(layer, input): Record<string, number[]> {
      const states = placed(layer, input).map(({ layer, op, input }, i) =>
        under(String(i), op.state?.(layer, input) ?? {})
      );
      return Object.assign({}, ...states);
    },
    meanSquare: (_, { input }) => input * (1 + branch),
    takesActivation: true,
    steps(layer, scope, x, y, { activation }) {
      const input = x.shape as Shape4;
      const { first } = scope.settings;
      const [outer] = added(layer, input, "", first);
      const target = y();
      const beside = outer?.op.steps(outer.layer, scope.child("shortcut"), x, () => target, {}) ??
        [];
      const inner = sequenceSteps(placed(layer, input, "", first), scope, x, () => target, {
        add: outer ? target : x,
        ...(activation ? { activation, addsFirst: true } : {}),
      });
      return [...beside, ...inner];
    },
  } satisfies LayerOp<SkipConfig>;
}
