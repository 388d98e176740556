import { assertEquals } from "@std/assert";
import { channelScale } from "../../../kernels/codec/channel_scale.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { normal, random } from "../../reference/random.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

withGpu("channelScale() scales and shifts the first channels of every position", async (gpu) => {
  const next = random(32);
  for (
    const [positions, inputs, outputs] of [[1, 1, 1], [7, 32, 16], [66, 3, 3], [5, 6, 5]] as const
  ) {
    const data = normal(next, positions * inputs);
    const [scale, shift] = [normal(next, outputs), normal(next, outputs)];
    const x = surrounded(gpu, "x", [positions, inputs], data, { offset: 3 });
    const y = poisoned(gpu, "y", [positions, outputs], { offset: 5 });
    const of = (name: string, values: Float32Array) => surrounded(gpu, name, [outputs], values);
    const constants = { scale: of("scale", scale), shift: of("shift", shift) };
    run(gpu, ...channelScale(gpu, { label: "test", x, ...constants, y }));
    const expected = Array.from({ length: positions * outputs }, (_, i) => {
      const c = i % outputs;
      const v = data[Math.floor(i / outputs) * inputs + c] ?? NaN;
      return v * (scale[c] ?? NaN) + (shift[c] ?? NaN);
    });
    assertClose(await readTensor(gpu, y), expected, { absolute: 1e-6, relative: 1e-6 });
    const whole = await readTensor(gpu, { ...y, offset: 0, shape: [y.buffer.size / 4] });
    const around = [...whole].filter((_, i) => i < 5 || i >= 5 + positions * outputs);
    assertEquals(around.every(Number.isNaN), true);
  }
});
