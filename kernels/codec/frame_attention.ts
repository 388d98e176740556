/**
 * Attention of the positions of a frame to each other, one head as wide as the channels: softmax(q k^T /
 * sqrt(C)) v of every frame by itself.
 *
 * Codecs run it once or twice per unit, over the smallest picture; heads are too wide (hundreds of
 * channels) for a query's sums to stay in registers. So scores are written: a product in tiles of 4 queries
 * x 4 keys, a softmax per row, and a product in tiles of 4 queries x 4 channels; operands are read from a
 * texture (kernels/gpu/texture.ts). Queries go in portions, so that the scores' memory is bounded.
 */
import type { Gpu } from "../gpu/device.ts";
import { textureSource } from "../gpu/texture.ts";
import { dispatch, type Step } from "../gpu/plan.ts";
import { checkTensors, scratchTensor, tensorBytes, type Tensors } from "../gpu/tensor.ts";
import { UniformStruct } from "../gpu/uniform_struct.ts";
import scoresCode from "./frame_attention_scores.wgsl" with { type: "text" };
import softmaxCode from "./frame_attention_softmax.wgsl" with { type: "text" };
import code from "./frame_attention.wgsl" with { type: "text" };

/** `positions` of a frame; `quads` of keys; `units` of four channels; of a portion the `first` query of all
 * frames' and how many `rows`; where x and the scores start, in texels; where y starts, in vectors. */
const sizes = new UniformStruct("Sizes", {
  u32: "positions quads units first rows x scores y",
  f32: "scale",
});

/** Most scores in memory at a time. */
const portion = 2 ** 22;

/**
 * @param x f32 [T, H, W, 3 C]: queries, keys and values; C a multiple of 4.
 * @param y f32 [T, H, W, C].
 * @param portionOf Most scores in memory at a time, for tests.
 * @throws RangeError when shapes don't fit.
 */
export function frameAttention(
  gpu: Gpu,
  { label, x, y, portionOf = portion }: Tensors<"x" | "y"> & { portionOf?: number },
): Step[] {
  const name = `frameAttention ${label}`;
  const [t = 0, h = 0, w = 0, c = 0] = y.shape;
  checkTensors(name, {
    x: [x, "f32", [t, h, w, 3 * c], 4],
    y: [y, "f32", [t, h, w, 4 * Math.ceil(c / 4)], 4],
  });
  const positions = h * w;
  const quads = Math.ceil(positions / 4);
  const total = t * positions;
  const most = Math.max(1, Math.floor(portionOf / (4 * quads)));
  const { lanes } = gpu.traits;
  const steps: Step[] = [];
  for (let first = 0; first < total; first += most) {
    const rows = Math.min(most, total - first);
    const scores = scratchTensor(gpu, "frame attention scores", [rows, 4 * quads]);
    const values = textureSource(gpu, name, "x", "rgba32float", [x, scores]);
    // The scores' own product needs no scores.
    const [ofX = [], ofScores = []] = [true, false].map((isX) =>
      values.steps.filter(({ source }) => (source.buffer === x.buffer) === isX)
    );
    const constants = sizes.bind(gpu, {
      positions,
      quads,
      units: c / 4,
      first,
      rows,
      x: values.starts[0] ?? 0,
      scores: values.starts[1] ?? 0,
      y: y.offset / 4,
      scale: 1 / Math.sqrt(c),
    });
    const tiles = Math.ceil(rows / 4);
    const reader = { x: values.declaration, reader: values.code };
    const flops = 2 * rows * positions * c;
    const bytes = tensorBytes(scores);
    steps.push(
      ...ofX,
      dispatch(
        gpu,
        `${name} scores`,
        gpu.pipeline(`${name} scores`, scoresCode, { sizes, lanes, ...reader }),
        [constants, values.binding, scores],
        { items: tiles * quads, lanes },
        { flops, bytes: bytes + (2 * tensorBytes(x)) / 3 },
      ),
      dispatch(
        gpu,
        `${name} softmax`,
        gpu.pipeline(`${name} softmax`, softmaxCode, { sizes, lanes }),
        [constants, scores],
        { items: rows, lanes },
        { flops: 4 * rows * positions, bytes: 2 * bytes },
      ),
      ...ofScores,
      dispatch(
        gpu,
        name,
        gpu.pipeline(name, code, { sizes, lanes, ...reader }),
        [constants, values.binding, y],
        { items: (tiles * c) / 4, lanes },
        { flops, bytes: bytes + tensorBytes(x) / 3 + tensorBytes(y) },
      ),
    );
  }
  return steps;
}
