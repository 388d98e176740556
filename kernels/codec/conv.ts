/**
 * 3-D convolution, causal in time, for the codecs' encoders and decoders. 1x1x1 is a plain product with bias.
 *
 *   y[to, ho, wo, n] = bias[n] + sum over c, dt, dh, dw of weight[n, c, dt, dh, dw]
 *     x[to st + st - 1 - (kt - 1 - dt) dilation, ho sh + dh - ph, wo sw + dw - pw, c]
 *
 * with kernel [kt, kh, kw], stride [st, sh, sw], zeros outside the picture (ph = (kh - sh) / 2, pw
 * likewise, or as many as `zeros` says), and in time the frames of `state` before x. So the last input
 * frame that output to reads is the last of its own st frames, and the first one is (kt - 1) dilation -
 * (st - 1) frames before them: `historyFrames`. Dilation above 1 goes with st = 1 only. With `upsample`
 * [uh, uw] it reads a picture in which every position stands uh x uw times (nearest neighbour).
 *
 * An implicit matrix product of [positions, taps x channels] with [taps x channels, outputs]. On cards
 * tuning may take large tiles straight from buffers (conv_blocks.ts); here 6 positions x 16 outputs per
 * invocation in registers, x read from a texture (kernels/gpu/texture.ts). Weights are packed in panels of 16 (8 where there are no more) outputs, so that
 * an invocation walks its panel in order. Where taps are neighbours in memory (all of time for sound,
 * a line of a kernel as wide as its stride) they are merged into one longer run.
 *
 * Measured on llvmpipe (AVX2, two cores), 3x3 over 16x16x96, and time to compile: 6 x 16 37 GFLOP/s,
 * 0.56 s; 8 x 16 39, 1.05 s; 4 x 16 28, 0.4 s; 8 x 8 30, 0.43 s; 12 x 8 34, 0.75 s.
 */
import { activationCode } from "../gpu/activation.ts";
import type { KernelFacts } from "../card/facts.ts";
import type { Gpu } from "../gpu/device.ts";
import { dispatch, type Step } from "../gpu/plan.ts";
import { tensorBytes } from "../gpu/tensor.ts";
import {
  copyToTexture,
  rowBytes,
  scratchTexture,
  texelBytes,
  textureReader,
  textureRows,
} from "../gpu/texture.ts";
import { arrayReader } from "../gpu/uniform.ts";
import { convBlocks, type ConvBlockVariant, convBlockVariants, fitsBlocks } from "./conv_blocks.ts";
import code from "./conv.wgsl" with { type: "text" };
import {
  checkConv,
  type ConvArguments,
  convConstants,
  convCost,
  convMeasures,
  type ConvShape,
  convShapeOf,
  type ConvWeight,
  convWeightBinding,
  convWeightReader,
  rowsOf,
} from "./conv_parts.ts";

export {
  canShuffle,
  type ConvGeometry,
  convOf,
  type ConvShape,
  type ConvWeight,
  freeConv,
  historyFrames,
  outputGrid,
  packConv,
} from "./conv_parts.ts";

/** Positions per invocation. */
const tile = 6;

/** The form for lanes of a CPU: how neighbours share the work. */
export interface ConvLaneVariant {
  form: "lanes";
  /** They take neighbouring positions and hand the weights round (in subgroups of at least 4 lanes);
   * otherwise they take neighbouring channels and read all weights themselves. */
  handed: boolean;
  /** They take neighbouring channels of the same positions, of which each reads one and hands it round,
   * straight from the buffers: no copies into a texture (in subgroups of a workgroup's lanes, of whole
   * vectors; else as without). */
  together: boolean;
}

export type ConvVariant = ConvLaneVariant | ConvBlockVariant;

/** The name of a convolution's shape among the choices. */
export function convKey(shape: ConvShape): string {
  const { x, outputs, dtype, kernel, stride, dilation, upsample = [1, 1], zeros, vector } = shape;
  return `conv ${x.join("x")} to ${outputs} ${dtype}, kernel ${kernel.join("x")} by ` +
    `${stride.join("x")}x${dilation}, up ${upsample.join("x")}` +
    (zeros ? ` after ${zeros.join("x")}` : "") + (vector ? "" : ", no vectors");
}

/** Everything worth trying for a shape, by name, the static default first: on a card large tiles too. */
export function convVariants(gpu: Gpu, shape: ConvShape): Map<string, ConvVariant> {
  const { cpu, lanes, subgroup } = gpu.traits;
  const tiles = Math.ceil(rowsOf(shape) / tile);
  // Where positions are few, lanes would lie idle: on llvmpipe it was worth it from some 40 tiles on.
  const handed = cpu && subgroup >= 4 && tiles >= 4 * lanes;
  return new Map<string, ConvVariant>([
    ["lanes", { form: "lanes", handed, together: cpu && !handed }],
    ...(cpu ? [] : convBlockVariants(shape)).map((variant) =>
      [`blocks ${variant.rows}x64, parts ${variant.parts}`, variant] as const
    ),
  ]);
}

/**
 * Steps of a convolution: copies of its inputs into a texture where the form needs them, and the product.
 *
 * @param x f32 [T, H, W, inputs].
 * @param state f32 [historyFrames, H, W, inputs], the frames before x; none when there are no such.
 * @param y f32 [T / st, H / sh, W / sw, outputs]. Where the weight was packed to shuffle by [ft, fh, fw],
 * f32 [T ft / st, H fh / sh, W fw / sw, outputs / (ft fh fw)]; or u32, a fourth as many words of bytes as
 * `packPixels` makes of it, and nothing may be added.
 * @param activation Applied to the product with bias.
 * @param add f32 of y's shape, added last; may be y itself.
 * @param addsFirst It is added before the activation.
 * @param variant Set by tests and tuning.
 * @throws RangeError when shapes don't fit.
 */
export function conv(gpu: Gpu, args: ConvArguments, variant?: ConvVariant): Step[] {
  checkConv(`conv ${args.label}`, args);
  const shape = convShapeOf(args);
  const variants = convVariants(gpu, shape);
  const [first] = variants.values();
  const chosen = variant ?? variants.get(gpu.choices[convKey(shape)] ?? "") ?? first;
  const isBlocks = chosen?.form === "blocks" && !args.weight.shuffle;
  if (isBlocks && (variant || fitsBlocks(args))) {
    return convBlocks(gpu, args, chosen);
  }
  return convLanes(gpu, args, chosen?.form === "lanes" ? chosen : lanesAlone);
}

const lanesAlone: ConvLaneVariant = { form: "lanes", handed: false, together: false };

function convLanes(gpu: Gpu, args: ConvArguments, { handed, ...variant }: ConvLaneVariant): Step[] {
  const { label, x, state, weight, y, add } = args;
  const name = `conv ${label}`;
  const { kernel, stride, run, columns, outputs, upsample = [1, 1] } = weight;
  const { vector, constants: common } = convMeasures(args);
  const { rows, panels } = common;
  const format = vector ? "rgba32float" : "r32float";
  if (run * 4 > rowBytes && (kernel[1] > stride[1] || kernel[2] > stride[2])) {
    throw new RangeError(
      `${name}: ${run} values per tap; ${rowBytes / 4} zeros stand around pictures`,
    );
  }
  const shuffled = weight.shuffle !== undefined;
  const packs = shuffled && y.dtype === "u32";
  const storesVectors = outputs % 4 === 0 && y.offset % 4 === 0;
  if (shuffled && !packs && !storesVectors) {
    throw new RangeError(`${name}: it shuffles into y by four values, which begins at ${y.offset}`);
  }

  const { lanes, subgroup } = gpu.traits;
  const tiles = Math.ceil(rows / tile);
  const canShare = subgroup >= lanes && lanes >= tile && vector && storesVectors &&
    add?.buffer !== y.buffer && x.buffer !== y.buffer;
  const together = canShare && variant.together;

  // The texture: row 0 zero; state up to the end of a row; x from the next one on; what is added.
  const texel = texelBytes(format);
  const stateBytes = state ? tensorBytes(state) : 0;
  const xAt = (1 + textureRows(stateBytes)) * rowBytes;
  const addAt = xAt + textureRows(tensorBytes(x)) * rowBytes;
  const bytes = addAt - rowBytes + (add ? textureRows(tensorBytes(add)) * rowBytes : 0);
  const texture = together ? null : scratchTexture(gpu, format, bytes);
  const copies = !texture ? [] : [
    ...(state ? copyToTexture(`${name} state`, state, texture, xAt - stateBytes) : []),
    ...copyToTexture(`${name} x`, x, texture, xAt),
    ...(add ? copyToTexture(`${name} add`, add, texture, addAt) : []),
  ];

  const constants = convConstants.bind(gpu, {
    ...common,
    y_offset: y.offset / (storesVectors && !packs ? 4 : 1),
    origin: together ? 0 : (xAt - stateBytes) / texel,
    add: !add ? 0 : together ? add.offset / 4 : addAt / texel,
    past: together ? stateBytes / 16 : 0,
    x: together ? x.offset / 4 : 0,
    before: together ? (state?.offset ?? 0) / 4 : 0,
    parts: 1,
  });
  const half = weight.dtype === "f16";
  const xReader = together ? arrayReader("x", "vec4f") : textureReader("x", format);
  const weightReader = convWeightReader(weight);
  const pipeline = gpu.pipeline(name, code, {
    shape: convConstants,
    lanes,
    tile,
    vector,
    half,
    upsample: upsample.some((times) => times > 1),
    handed,
    together,
    subgroups: handed || together,
    states: Number(state !== undefined),
    has_state: together && state !== undefined,
    reads_added: together && add !== undefined,
    owns: together ? 1 : tile,
    octets: columns / 8,
    handed_weights: handed ? handedWeights(half, columns / 8, Math.min(8, subgroup)) : "",
    step_texels: half ? columns / 2 : columns,
    stores_vectors: storesVectors,
    shuffled,
    packs,
    y_type: packs ? "u32" : storesVectors ? "vec4f" : "f32",
    adds_first: add !== undefined && args.addsFirst === true,
    adds_last: add !== undefined && args.addsFirst !== true,
    activate: activationCode("vec4f", args.activation),
    x: xReader.declaration,
    weight: weightReader.declaration,
    readers: `${xReader.code}\n${weightReader.code}`,
  });
  const items = handed
    ? Math.ceil(tiles / lanes) * lanes * panels
    : tiles * (together ? Math.ceil(panels / lanes) * lanes : panels);
  const more = together ? [state, add].filter((tensor) => tensor !== undefined) : [];
  return [
    ...copies,
    dispatch(
      gpu,
      name,
      pipeline,
      [constants, texture?.createView() ?? x, convWeightBinding(weight), y, ...more],
      { items, lanes },
      {
        ...convCost(args),
        facts: textureFacts(weight, lanes, panels, handed, together),
      },
    ),
  ];
}

/** WGSL: the weights of four inputs, of which so many lanes read a texel each and hand it round. */
function handedWeights(half: boolean, octets: number, lanes: number): string {
  const names = [0, 1, 2, 3].flatMap((k) =>
    Array.from({ length: octets }, (_, o) => half ? [`h${k}_${o}`] : [`p${k}_${o}`, `q${k}_${o}`])
  ).flat();
  const reach = Math.min(lanes, names.length);
  const reads = Array.from(
    { length: names.length / reach },
    (_, i) => `let mine${i} = weight_at(w + ${i * reach}u + lane % ${reach}u);`,
  );
  const given = names.map((name, i) =>
    `let ${name} = subgroupBroadcast(mine${Math.floor(i / reach)}, ${i % reach}u);`
  );
  return [...reads, ...given].join("\n");
}

/** The loads of conv.wgsl: neighbours take panels of channels, or (handed) positions. */
function textureFacts(
  { columns, dtype, taps, run }: ConvWeight,
  lanes: number,
  panels: number,
  handed: boolean,
  together: boolean,
): KernelFacts {
  const inPanel = taps[0] * taps[1] * taps[2] * Math.ceil(run / 4) * 4 * columns;
  const panelBytes = 4 * columns + inPanel * (dtype === "f32" ? 4 : 2);
  return {
    form: `${tile} x ${columns} from ${together ? "buffers" : "textures"}`,
    lanes,
    registers: tile * columns + 4 * columns + 4 + 2 * tile + 16,
    accesses: [{
      what: "weights",
      memory: "storage",
      bytes: 16,
      at: (lane) => handed ? (lane % 4) * 16 : (lane % panels) * panelBytes,
    }],
    reasons: {
      sectors: "lanes walk panels of their own, as is best on CPUs",
      groups: "six positions and a panel a lane, as is best on CPUs",
      registers: "six positions x 16 channels, as is best on CPUs",
    },
  };
}
