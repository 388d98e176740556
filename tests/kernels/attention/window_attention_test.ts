import { assertThrows } from "@std/assert";
import { rotaryTurns } from "../../../kernels/attention/qk_rotary.ts";
import {
  keepWindow,
  turnWindow,
  type WindowArguments,
  windowAttention,
} from "../../../kernels/attention/window_attention.ts";
import { countFrames } from "../../../kernels/codec/frames_seen.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { normal, random } from "../../reference/random.ts";
import { windowAttention as reference } from "../../reference/window_attention.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

interface Shape {
  heads: number;
  kvHeads: number;
  headDim: number;
  window: number;
  /** Frames of spans that follow each other. */
  spans: number[];
  /** Frames that went by before them. */
  position?: number;
}

const shapes: Shape[] = [
  { heads: 4, kvHeads: 2, headDim: 8, window: 5, spans: [1, 1, 3, 2, 9, 1, 4] },
  { heads: 3, kvHeads: 3, headDim: 16, window: 2, spans: [3, 1, 1, 2] },
  { heads: 2, kvHeads: 1, headDim: 64, window: 70, spans: [80, 4, 3] },
  { heads: 3, kvHeads: 3, headDim: 16, window: 7, spans: [5, 6], position: 4e9 },
];

/** The spans one after the other, the ring poisoned where no frame has been. */
async function inSpans(gpu: Gpu, shape: Shape, qkv: Float32Array): Promise<number[]> {
  const { heads, kvHeads, headDim, window, spans, position = 0 } = shape;
  const width = (heads + 2 * kvHeads) * headDim;
  const { turns } = rotaryTurns(headDim, 1e4);
  const past = [window - 1, kvHeads * headDim];
  const ring = {
    keys: poisoned(gpu, "keys", past),
    values: poisoned(gpu, "values", past),
    seen: surrounded(gpu, "seen", [1], new Float32Array(Uint32Array.of(position).buffer)),
    turns: surrounded(gpu, "turns", [headDim / 2], turns, { offset: 64 }),
  };
  const result: number[] = [];
  let at = 0;
  for (const rows of spans) {
    const data = qkv.slice(at * width, (at += rows) * width);
    const args: WindowArguments & { turns: typeof ring.turns } = {
      label: "test",
      qkv: surrounded(gpu, "qkv", [rows, width], data),
      ...ring,
      heads,
      kvHeads,
      headDim,
    };
    const out = poisoned(gpu, "out", [rows, heads * headDim]);
    run(
      gpu,
      turnWindow(gpu, args),
      ...windowAttention(gpu, { ...args, out }),
      keepWindow(gpu, args),
      countFrames(gpu, { label: "test", seen: ring.seen, frames: rows }),
    );
    for (const value of await readTensor(gpu, out)) result.push(value);
    for (const { buffer } of [args.qkv, out]) gpu.free(buffer);
  }
  return result;
}

withGpu("windowAttention() equals the reference, in spans of any length", async (gpu) => {
  const next = random(1);
  for (const shape of shapes.filter(({ position }) => position === undefined)) {
    const { heads, kvHeads, headDim, spans } = shape;
    const frames = spans.reduce((a, b) => a + b);
    const width = (heads + 2 * kvHeads) * headDim;
    const qkv = normal(next, frames * width);
    const rows = Array.from({ length: frames }, (_, i) => qkv.subarray(i * width, (i + 1) * width));
    const { turns } = rotaryTurns(headDim, 1e4);
    const expected = reference(rows, turns, shape).flat();
    const options = { absolute: 1e-5, relative: 1e-5, shape: [frames, heads, headDim] };
    for (const operands of ["textures", "buffers"]) {
      gpu.choices = { operands };
      assertClose(await inSpans(gpu, shape, qkv), expected, options);
    }
    gpu.choices = {};
  }
});

withGpu("windowAttention() needs no whole positions: angles turn on after years", async (gpu) => {
  const next = random(2);
  for (const shape of shapes.filter(({ position }) => position !== undefined)) {
    const { heads, kvHeads, headDim, window } = shape;
    const width = (heads + 2 * kvHeads) * headDim;
    // So that the ring is full of frames that were seen.
    const spans = [window, ...shape.spans];
    const frames = spans.reduce((a, b) => a + b);
    const qkv = normal(next, frames * width);
    const late = await inSpans(gpu, { ...shape, spans }, qkv);
    const early = await inSpans(gpu, { ...shape, spans, position: 0 }, qkv);
    const from = window * heads * headDim;
    assertClose(late.slice(from), early.slice(from), { absolute: 1e-4 });
  }
});

withGpu("windowAttention() refuses shapes that don't fit", (gpu) => {
  const args = {
    label: "test",
    qkv: surrounded(gpu, "qkv", [2, 32], new Float32Array(64)),
    keys: surrounded(gpu, "keys", [3, 8], new Float32Array(24)),
    values: surrounded(gpu, "values", [2, 8], new Float32Array(16)),
    seen: surrounded(gpu, "seen", [1], new Float32Array(1)),
    heads: 2,
    kvHeads: 1,
    headDim: 8,
  };
  assertThrows(() => keepWindow(gpu, args), RangeError, "values");
  assertThrows(() => keepWindow(gpu, { ...args, headDim: 12 }), RangeError, "in eights");
});
