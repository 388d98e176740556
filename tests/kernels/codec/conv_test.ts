import { assertEquals } from "@std/assert";
import {
  canShuffle,
  conv,
  type ConvGeometry,
  type ConvVariant,
  freeConv,
  historyFrames,
  packConv,
} from "../../../kernels/codec/conv.ts";
import { packPixels } from "../../../kernels/codec/pixels.ts";
import type { Activation } from "../../../kernels/gpu/activation.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { elements, type Tensor } from "../../../kernels/gpu/tensor.ts";
import { normal, random, roundToHalf } from "../../reference/random.ts";
import {
  activationReference,
  block,
  convReference,
  type Shape4,
  shuffleReference,
} from "../../reference/coder.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

type Triple = [number, number, number];

interface Case extends ConvGeometry {
  shape: Shape4;
  outputs: number;
  dtype?: "f32" | "f16";
  activation?: Activation;
  bias?: false;
  /** "other": another tensor; "self": y itself. */
  add?: "other" | "self";
  addsFirst?: boolean;
  offset?: number;
  /** Puts blocks in their places; as bytes too. */
  shuffle?: Triple;
  /** By large tiles, from buffers; otherwise every form for lanes. */
  blocks?: { rows: 64 | 128; parts: number };
}

/** Runs a case with random data and compares it with the reference. */
async function check(gpu: Gpu, test: Case): Promise<void> {
  const { shape, outputs, dtype = "f32", kernel, stride, dilation, offset = 4 } = test;
  const [T, H, W, C] = shape;
  const next = random(T * 7 + H * 5 + W * 3 + C + outputs);
  const past = historyFrames(test);
  // The reference runs from some whole strides before the unit on.
  const before = Math.ceil(past / stride[0]) * stride[0];
  const frames = normal(next, (before + T) * H * W * C);
  const taps = kernel[0] * kernel[1] * kernel[2];
  const weight = normal(next, outputs * C * taps, 1 / Math.sqrt(C * taps));
  const bias = test.bias ?? normal(next, outputs);
  const space = {
    ...(test.zeros ? { zeros: test.zeros } : {}),
    ...(test.upsample ? { upsample: test.upsample } : {}),
  };
  const expected = convReference(block([before + T, H, W, C], frames), {
    weight: dtype === "f16" ? roundToHalf(weight) : weight,
    bias: bias || undefined,
    outputs,
    kernel,
    stride,
    dilation,
    ...space,
  });
  const [up, across] = test.upsample ?? [1, 1];
  const yShape: Shape4 = [T / stride[0], H * up / stride[1], W * across / stride[2], outputs];
  const yCount = elements(yShape);
  const skipped = expected.data.length - yCount;
  let values = block(yShape, expected.data.subarray(skipped));
  const added = normal(next, yCount);
  const add = () => {
    values.data = values.data.map((v, i) => v + (added[i] ?? NaN));
  };
  if (test.add && test.addsFirst) add();
  values = activationReference(values, test.activation);
  if (test.add && !test.addsFirst) add();

  if (test.shuffle) values = shuffleReference(values, test.shuffle);
  const [ft, fh, fw] = test.shuffle ?? [1, 1, 1];
  const [yt, yh, yw] = yShape;
  const placed: Shape4 = [yt * ft, yh * fh, yw * fw, outputs / ft / fh / fw];
  const split = before * H * W * C;
  const x = surrounded(gpu, "x", shape, frames.slice(split), { offset });
  const state = surrounded(
    gpu,
    "state",
    [past, H, W, C],
    frames.slice(split - past * H * W * C, split),
    {
      offset,
    },
  );
  const other = surrounded(gpu, "add", yShape, added, { offset });
  const pack = (texture: boolean) =>
    packConv(gpu, {
      label: "test",
      texture,
      weight,
      ...(bias ? { bias } : {}),
      inputs: C,
      outputs,
      dtype,
      line: H * W === 1,
      kernel,
      stride,
      dilation,
      ...space,
      ...(test.shuffle ? { shuffle: test.shuffle } : {}),
    });
  const { subgroup } = gpu.traits;
  const lanes = { form: "lanes", handed: false, together: false } as const;
  const variants: ConvVariant[] = test.blocks ? [{ form: "blocks", ...test.blocks }] : [
    lanes,
    ...(subgroup >= 4 ? [{ ...lanes, handed: true }] : []),
    ...(subgroup >= 8 ? [{ ...lanes, together: true }] : []),
  ];
  const packed = pack(test.blocks === undefined);
  for (const variant of variants) {
    const y = test.add === "self"
      ? surrounded(gpu, "y", yShape, added, { offset })
      : poisoned(gpu, "y", placed, { offset });
    const work = {
      ...{ label: "test", x, weight: packed },
      ...(past > 0 ? { state } : {}),
      ...(test.activation ? { activation: test.activation } : {}),
    };
    run(
      gpu,
      ...conv(gpu, {
        ...work,
        y,
        ...(test.add ? { add: test.add === "self" ? y : other } : {}),
        ...(test.addsFirst ? { addsFirst: true } : {}),
      }, variant),
    );
    assertClose(await readTensor(gpu, y), values.data, {
      absolute: 2e-5,
      relative: 1e-5,
      shape: placed,
    });
    if (test.shuffle) {
      // The bytes are those that packPixels makes of the same values.
      const words = [yCount / 4];
      const [bytes, wanted] = [0, 1].map((i) =>
        poisoned(gpu, `bytes ${i}`, words, { offset: 3, dtype: "u32" })
      ) as [Tensor, Tensor];
      run(
        gpu,
        ...conv(gpu, { ...work, y: bytes }, variant),
        ...packPixels(gpu, { label: "test", x: y, pixels: wanted }),
      );
      assertEquals(await readTensor(gpu, bytes), await readTensor(gpu, wanted));
      for (const { buffer } of [bytes, wanted]) gpu.free(buffer);
    }
    // Nothing is written around y.
    const whole = await readTensor(gpu, { ...y, offset: 0, shape: [y.buffer.size / 4] });
    for (let i = 0; i < whole.length; i++) {
      if (i < offset || i >= offset + yCount) assertEquals(whole[i], NaN, `word ${i} around y`);
    }
    gpu.free(y.buffer);
  }
  for (const { buffer } of [x, state, other]) gpu.free(buffer);
  freeConv(gpu, packed);
}

const unit: Triple = [1, 1, 1];
const plain = { kernel: unit, stride: unit, dilation: 1 };

withGpu("conv of 1x1x1 is a product with bias, at any number of rows and channels", async (gpu) => {
  for (
    const [rows, inputs, outputs] of [
      [1, 4, 1],
      [1, 192, 32],
      [7, 32, 96],
      [8, 48, 20],
      [9, 96, 17],
      [64, 160, 8],
      [33, 5, 7],
    ] as const
  ) {
    await check(gpu, { ...plain, shape: [rows, 1, 1, inputs], outputs });
    await check(gpu, { ...plain, shape: [1, 1, rows, inputs], outputs });
  }
});

withGpu("conv in time reads its state before the unit's first frame", async (gpu) => {
  const times: [ConvGeometry, number][] = [
    [{ kernel: [2, 1, 1], stride: unit, dilation: 1 }, 1],
    [{ kernel: [3, 1, 1], stride: unit, dilation: 1 }, 5],
    [{ kernel: [3, 1, 1], stride: unit, dilation: 3 }, 4],
    [{ kernel: [8, 1, 1], stride: [4, 1, 1], dilation: 1 }, 12],
    [{ kernel: [8, 1, 1], stride: [8, 1, 1], dilation: 1 }, 16],
    [{ kernel: [7, 1, 1], stride: [2, 1, 1], dilation: 1 }, 6],
  ];
  for (const [geometry, T] of times) {
    for (const C of [1, 6, 8]) {
      await check(gpu, { ...geometry, shape: [T, 1, 1, C], outputs: 12 });
      await check(gpu, { ...geometry, shape: [T, 2, 3, C], outputs: 5 });
    }
  }
});

withGpu("conv in space sees zeros around the picture", async (gpu) => {
  for (const C of [3, 4, 16]) {
    for (
      const [kernel, stride] of [
        [[1, 3, 3], unit],
        [[1, 5, 1], unit],
        [[1, 4, 4], [1, 2, 2]],
        [[1, 2, 2], [1, 2, 2]],
        [[1, 2, 4], [1, 2, 2]],
        [[1, 4, 2], [1, 2, 2]],
        [[1, 8, 8], [1, 4, 4]],
      ] as [Triple, Triple][]
    ) {
      const shape: Shape4 = [2, 4 * (stride[1]), 6 * stride[2], C];
      await check(gpu, { kernel, stride, dilation: 1, shape, outputs: 9 });
    }
  }
});

withGpu("conv in time and space, as the presets use it", async (gpu) => {
  const stride = unit;
  await check(gpu, { kernel: [2, 3, 3], stride, dilation: 1, shape: [1, 8, 8, 96], outputs: 96 });
  await check(gpu, { kernel: [3, 3, 3], stride, dilation: 2, shape: [2, 5, 7, 20], outputs: 33 });
  await check(gpu, {
    kernel: [4, 3, 5],
    stride: [2, 1, 1],
    dilation: 1,
    shape: [4, 3, 4, 3],
    outputs: 5,
  });
});

withGpu("conv with f16 weights equals one with the rounded weights", async (gpu) => {
  for (const outputs of [3, 8, 40]) {
    await check(gpu, { ...plain, shape: [5, 1, 1, 96], outputs, dtype: "f16" });
    await check(gpu, {
      kernel: [2, 3, 3],
      stride: unit,
      dilation: 1,
      shape: [2, 4, 3, 6],
      outputs,
      dtype: "f16",
    });
  }
});

withGpu("conv activates and adds, in either order, in place too", async (gpu) => {
  for (const [shape, outputs] of [[[9, 1, 1, 32], 16], [[1, 3, 5, 6], 6]] as [Shape4, number][]) {
    for (const add of ["other", "self"] as const) {
      await check(gpu, { ...plain, shape, outputs, add });
      for (const activation of ["silu", "elu", "gelu"] as const) {
        await check(gpu, { ...plain, shape, outputs, add, activation });
        await check(gpu, { ...plain, shape, outputs, add, activation, addsFirst: true });
      }
    }
    await check(gpu, { ...plain, shape, outputs, activation: "elu" });
  }
});

withGpu("conv applies relu and soft_clamp, and may have no bias", async (gpu) => {
  const shape: Shape4 = [2, 3, 5, 8];
  for (const outputs of [6, 16]) {
    await check(gpu, { ...plain, shape, outputs, activation: "relu" });
    await check(gpu, { ...plain, shape, outputs, activation: "soft_clamp" });
    await check(gpu, {
      ...plain,
      shape,
      outputs,
      add: "self",
      activation: "relu",
      addsFirst: true,
    });
    await check(gpu, { ...plain, shape, outputs, bias: false });
  }
});

withGpu("conv with an odd zero more on one side equals the reference", async (gpu) => {
  for (const C of [3, 8]) {
    for (const zeros of [[0, 0], [1, 1], [0, 1]] as const) {
      await check(gpu, {
        kernel: [1, 3, 3],
        stride: [1, 2, 2],
        dilation: 1,
        zeros,
        shape: [2, 6, 10, C],
        outputs: 9,
      });
      await check(gpu, {
        kernel: [2, 2, 4],
        stride: unit,
        dilation: 1,
        zeros,
        shape: [1, 3, 5, C],
        outputs: 5,
      });
    }
  }
});

withGpu("conv reads an enlarged picture as if every position stood there often", async (gpu) => {
  for (const C of [3, 8]) {
    for (const upsample of [[2, 2], [1, 3], [2, 1]] as const) {
      for (const kernel of [[1, 3, 3], [1, 1, 1], [2, 3, 1], [1, 1, 5]] as Triple[]) {
        const shape: Shape4 = [2, 3, 5, C];
        await check(gpu, { kernel, stride: unit, dilation: 1, upsample, shape, outputs: 7 });
      }
    }
    const shape: Shape4 = [1, 1, 1, C];
    const upsample = [2, 2] as const;
    await check(gpu, { kernel: [1, 3, 3], stride: unit, dilation: 1, upsample, shape, outputs: 4 });
  }
});

withGpu("conv works where a tensor starts at no multiple of 4", async (gpu) => {
  await check(gpu, { ...plain, shape: [5, 1, 1, 8], outputs: 8, offset: 3, add: "other" });
});

/** Each has something of its own: the storage, values one by one, merged taps, strides, dilation, an enlarged
 * picture, narrow panels, tails of every extent, parts of which the last has no inputs. Compiling takes long where
 * lanes wait for each other, so each is tried once. */
withGpu("conv by large tiles from buffers equals float64", async (gpu) => {
  const whole = { rows: 64, parts: 1 } as const;
  const cases: Case[] = [
    {
      ...{ kernel: [2, 3, 3], stride: unit, dilation: 1, shape: [2, 5, 7, 20], outputs: 72 },
      ...{ dtype: "f16", activation: "gelu", add: "self", addsFirst: true, blocks: whole },
    },
    {
      ...{ kernel: [3, 3, 5], stride: unit, dilation: 2, shape: [3, 5, 11, 8], outputs: 68 },
      ...{ add: "other", activation: "silu", blocks: { rows: 128, parts: 3 } },
    },
    {
      ...{ kernel: [1, 4, 4], stride: [1, 2, 2], dilation: 1, shape: [2, 8, 10, 3], outputs: 9 },
      ...{ add: "self", offset: 3, blocks: { rows: 64, parts: 2 } },
    },
    {
      ...{ kernel: [8, 1, 1], stride: [4, 1, 1], dilation: 1, shape: [12, 1, 1, 6], outputs: 8 },
      ...{ dtype: "f16", activation: "elu", blocks: { rows: 64, parts: 5 } },
    },
    {
      ...{ kernel: [1, 3, 3], stride: unit, dilation: 1, shape: [1, 3, 5, 4], outputs: 5 },
      ...{ upsample: [2, 3], bias: false, blocks: whole },
    },
    {
      ...plain,
      shape: [129, 1, 1, 192],
      outputs: 32,
      dtype: "f16",
      blocks: { rows: 64, parts: 7 },
    },
  ];
  for (const test of cases) await check(gpu, test);
});

withGpu(
  "conv puts blocks of time, height and width in their places, as values and as bytes",
  async (gpu) => {
    const three: Triple = [1, 3, 3];
    for (
      const [shape, channels, shuffle, more] of [
        [[1, 3, 5, 12], 3, [4, 4, 4], {}],
        [[2, 2, 3, 8], 4, [1, 2, 2], { activation: "silu" }],
        [[1, 2, 2, 5], 8, [2, 3, 1], {}],
        [[3, 4, 3, 4], 2, [1, 2, 2], { kernel: three }],
        [[1, 7, 4, 6], 3, [1, 1, 8], { dtype: "f16" }],
      ] as [Shape4, number, Triple, Partial<Case>][]
    ) {
      const outputs = channels * shuffle.reduce((a, b) => a * b);
      if (canShuffle(gpu, outputs, shuffle)) {
        await check(gpu, { ...plain, shape, outputs, shuffle, ...more });
      }
    }
    // Lines of blocks that are no whole vectors.
    assertEquals(canShuffle(gpu, 3 * 4, [1, 2, 2]), false);
  },
);
