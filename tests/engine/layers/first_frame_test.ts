/** Streams whose first frame comes alone, before their units: 1 + 4k frames. */
import { assert, assertEquals } from "@std/assert";
import { placeFirst } from "../../../engine/layers/coder.ts";
import type { Shape4 } from "../../../engine/layers/ops/layer.ts";
import { conv } from "../../../engine/models/layers.ts";
import { elements } from "../../../kernels/gpu/tensor.ts";
import { assertClose, withGpu } from "../../kernels/support.ts";
import { integer, random } from "../../reference/random.ts";
import { assertInputError } from "../tiny_checkpoint.ts";
import {
  coder,
  inSpans,
  type Model,
  model,
  recording,
  reference,
  run,
  runFirst,
} from "./support.ts";

const halveSpace = { op: "conv", channels: 7, kernel: [1, 3, 3], stride: [1, 2, 2] };

/** Encoders and decoders that leave the first frame alone, and ones that repeat and trim it. */
const coders: Model[] = [
  model("alone, down", [
    conv(7, [3, 3, 3]),
    { ...halveSpace, odd_zero: "after" },
    { op: "halve_time" },
    { op: "skip", layers: [{ op: "rmsnorm" }, { op: "silu" }, conv(7, [3, 1, 1])] },
    { op: "halve_time" },
    conv(4, [3, 3, 3]),
  ], [4, 6, 10, 3]),
  model("alone, up", [
    conv(8, [3, 3, 3]),
    { op: "double_time" },
    { op: "skip", layers: [{ op: "rmsnorm" }, { op: "silu" }, conv(8, [3, 3, 3])] },
    { op: "double_time" },
    { op: "conv", channels: 3, kernel: [1, 3, 3], upsample: [1, 2, 2] },
  ], [1, 3, 5, 4]),
  model("repeated, down", [
    { op: "first_frame", repeat: 4 },
    conv(6, [2, 3, 3]),
    conv(6, [2, 1, 1], [2, 1, 1]),
    { op: "relu" },
    conv(6, [2, 1, 1], [2, 1, 1]),
    conv(4, [2, 1, 1]),
  ], [4, 2, 3, 3]),
  model("trimmed, up", [
    conv(8, [2, 3, 3]),
    { op: "shuffle", factor: [2, 1, 1] },
    conv(6, [2, 1, 1]),
    { op: "shuffle", factor: [2, 1, 1] },
    { op: "first_frame", trim: 3 },
  ], [1, 2, 3, 4]),
].map((each) => ({ ...each, first: true }));

withGpu(
  "a stream with its first frame alone equals the float64 reference at every cut",
  async (gpu) => {
    for (const each of coders) {
      const units = 4;
      const x = recording(each, units);
      const expected = reference(each, x, units);
      for (const spans of [[4], [1, 1, 1, 1], [1, 3], [2, 2], [3, 1], [2, 1, 1]]) {
        assertClose(await inSpans(gpu, each, x, spans), expected.data, {
          absolute: 2e-5,
          relative: 2e-5,
          shape: expected.shape,
        });
      }
    }
  },
);

withGpu(
  "a later frame changes nothing of what came before, the first frame's included",
  async (gpu) => {
    const next = random(41);
    for (const each of coders) {
      const units = 3;
      const x = recording(each, units);
      const before = await inSpans(gpu, each, x, [1, 1, 1]);
      const unit = elements(each.input);
      const first = x.length - units * unit;
      for (let k = 0; k < units; k++) {
        const changed = x.slice();
        changed[first + integer(next, k * unit, (k + 1) * unit - 1)] = 3;
        const after = await inSpans(gpu, each, changed, [1, 1, 1]);
        const start = before.length - (before.length - outputOfFirst(each)) * (units - k) / units;
        assertEquals(after.slice(0, start), before.slice(0, start), each.prefix);
        assert(after.some((value, i) => i >= start && value !== before[i]), each.prefix);
      }
    }
  },
);

/** Values that a coder makes of the first frame. */
function outputOfFirst({ prefix, layers, input: [, ...frame] }: Model): number {
  const first: Shape4 = [1, ...frame];
  const placed = placeFirst({ name: prefix, layers, input: first, first, sampleRate: 1 });
  return elements(placed.at(-1)?.output ?? []);
}

withGpu("a stream begins anew after reset(), and its states are those of any span", async (gpu) => {
  for (const each of coders) {
    const made = coder(gpu, each);
    const longer = coder(gpu, each, { units: 2 });
    assertEquals([...made.states.keys()], [...longer.states.keys()]);
    assertEquals(made.stateBytes, longer.stateBytes);
    const x = recording(each, 1);
    const split = x.length - elements(each.input);
    const stream = async () => [
      ...await runFirst(gpu, made, x.subarray(0, split)),
      ...await run(gpu, made, x.subarray(split)),
    ];
    const once = await stream();
    made.reset();
    assertEquals(await stream(), once);
    for (const each of [made, longer]) each.destroy();
  }
});

withGpu("a coder with a first frame shares its weights between both and frees all", async (gpu) => {
  for (const each of coders) {
    coder(gpu, each).destroy();
    const before = gpu.allocatedBytes;
    const alone = coder(gpu, { ...each, first: false });
    const plain = gpu.allocatedBytes - before;
    alone.destroy();
    const made = coder(gpu, each);
    await runFirst(gpu, made, recording(each, 0));
    // Its own input and output, with their room for textures; no weights.
    assert(gpu.allocatedBytes - before - plain < 2 * (17 << 10));
    made.destroy();
    assertEquals(gpu.allocatedBytes, before);
  }
});

Deno.test("layers that can't run over one frame alone are named", async () => {
  const input: Shape4 = [1, 2, 2, 4];
  const name = "response.video.encoder";
  const place = (...layers: Model["layers"]) =>
    placeFirst({ name, layers, input, first: input, sampleRate: 1 });
  await assertInputError(
    () => place(conv(4, [2, 1, 1], [2, 1, 1])),
    `${name} at the first frame[0] (conv)`,
    "time of 1 isn't divisible by stride 2",
  );
  await assertInputError(() => place({ op: "first_frame", trim: 1 }), "leaves nothing of 1 frames");
  assertEquals(place({ op: "halve_time" }, { op: "double_time" }).at(-1)?.output, input);
});
