/** The layer ops, by their names in `config.json`. To add one: its file, and a line of this table. */
import type { LayerConfig } from "../config/config.ts";
import { Fields } from "../config/config_fields.ts";
import { InputError } from "../config/errors.ts";
import { activationOps } from "./ops/activation.ts";
import { conv } from "./ops/conv.ts";
import { convTranspose } from "./ops/conv_transpose.ts";
import type { LayerOp } from "./ops/layer.ts";
import { logmel } from "./ops/logmel.ts";
import { overlapAdd } from "./ops/overlap_add.ts";
import { firstFrame } from "./ops/pictures/first_frame.ts";
import { frameAttention } from "./ops/pictures/frame_attention.ts";
import { normalize } from "./ops/pictures/normalize.ts";
import { doubleTime, halveTime } from "./ops/pictures/time.ts";
import { dequantize, quantize } from "./ops/quantize.ts";
import { residual } from "./ops/residual.ts";
import { rmsnorm } from "./ops/rmsnorm.ts";
import { shuffle, unshuffle } from "./ops/shuffle.ts";
import { skip } from "./ops/skip.ts";
import { transformer } from "./ops/transformer.ts";

const layerOps = {
  ...activationOps,
  conv,
  conv_transpose: convTranspose,
  residual,
  skip: skip({ layerOp, parseLayers, parseLayer }),
  rmsnorm,
  transformer,
  quantize,
  dequantize,
  unshuffle,
  shuffle,
  halve_time: halveTime,
  double_time: doubleTime,
  first_frame: firstFrame,
  normalize,
  frame_attention: frameAttention,
  overlap_add: overlapAdd,
  logmel,
};

/** Every form that a layer may have in `config.json`. */
export type KnownLayer = ReturnType<(typeof layerOps)[keyof typeof layerOps]["parse"]>;

const byName: Readonly<Record<string, LayerOp>> = layerOps;

/** The op of a layer. @throws InputError when the engine has none of that name. */
export function layerOp({ op }: LayerConfig): LayerOp {
  const found = Object.hasOwn(byName, op) ? byName[op] : undefined;
  if (!found) {
    throw new InputError(`layer op ${op} is unknown; it may be ${Object.keys(byName).join(", ")}`);
  }
  return found;
}

/** Reads the list of layers under a key. @throws InputError */
export function parseLayers(parent: Fields, key: string): LayerConfig[] {
  return parent.list(key, [1, 256]).map((json, i) =>
    parseLayer(new Fields(json, parent.where, `${parent.path}${key}[${i}].`))
  );
}

/** Reads one layer. @throws InputError */
function parseLayer(fields: Fields): LayerConfig {
  const layer = layerOp({ op: fields.oneOf("op", Object.keys(byName)) }).parse(fields);
  fields.refuseOthers();
  return layer;
}
