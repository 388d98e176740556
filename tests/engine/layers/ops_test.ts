/** What the layers of picture codecs refuse: each line names the layer, what it has and what it may have. */
import { assertEquals } from "@std/assert";
import type { LayerConfig } from "../../../engine/config/config.ts";
import { Fields } from "../../../engine/config/config_fields.ts";
import { placeLayers } from "../../../engine/layers/coder.ts";
import type { Shape4 } from "../../../engine/layers/ops/layer.ts";
import { parseLayers } from "../../../engine/layers/registry.ts";
import { conv } from "../../../engine/models/layers.ts";
import { assertInputError } from "../tiny_checkpoint.ts";

const parse = (...layers: unknown[]) =>
  parseLayers(new Fields({ encoder: layers }, "c.json"), "encoder");

/** Skips in one another, so many. */
const nested = (depth: number): LayerConfig =>
  depth === 0 ? conv(4) : { op: "skip", layers: [conv(4), nested(depth - 1), conv(4)] };

Deno.test("layers of picture codecs are read as they are written", () => {
  const layers: LayerConfig[] = [
    { op: "conv", channels: 4, kernel: [1, 3, 3], upsample: [1, 2, 2], bias: false },
    { op: "conv", channels: 4, kernel: [1, 3, 3], stride: [1, 2, 2], odd_zero: "before" },
    { op: "rmsnorm", eps: 1e-24 },
    { op: "skip", layers: [{ op: "relu" }, conv(4)], shortcut: conv(4) },
    { op: "halve_time" },
    { op: "double_time" },
    { op: "first_frame", repeat: 4 },
    { op: "first_frame", trim: 3 },
    { op: "normalize", mean: [0, 1], deviation: [1, 2], inverse: true },
    { op: "frame_attention" },
    { op: "soft_clamp" },
    nested(4),
  ];
  assertEquals(parse(...layers), layers);
});

Deno.test("layers of picture codecs refuse what they can't be", async () => {
  const cases: [LayerConfig, string][] = [
    [
      { op: "conv", channels: 4, kernel: [1, 3, 3], odd_zero: "left" },
      'it may be "before" or "after"',
    ],
    [{ op: "conv", channels: 4, kernel: [1, 3, 3], upsample: [1, 17, 1] }, "from 1 to 16"],
    [{ op: "rmsnorm", eps: 0 }, "encoder[0].eps is 0; it may be a number from 1e-30 to 0.1"],
    [{ op: "skip", layers: [] }, "encoder[0].layers is []; it may be a list of 1 to 256 entries"],
    [{ op: "skip", layers: [conv(4)], shortcut: { op: "x" } }, 'encoder[0].shortcut.op is "x"'],
    [nested(5), "not more than 4 skips in one another"],
    [{ op: "first_frame" }, "encoder[0].trim is missing"],
    [{ op: "first_frame", repeat: 2, trim: 1 }, 'has the key "trim"'],
    [
      { op: "normalize", mean: [0], deviation: [0] },
      "deviation is [0]; it may be a list of numbers",
    ],
    [
      { op: "normalize", mean: ["x"], deviation: [1] },
      'mean is ["x"]; it may be a list of numbers',
    ],
    [{ op: "normalize", mean: [0, 1], deviation: [1] }, "a list of as many numbers as mean, 2"],
  ];
  for (const [layer, why] of cases) await assertInputError(() => parse(layer), "c.json: ", why);
});

Deno.test("layers of picture codecs name an input that they can't follow", async () => {
  const cases: [LayerConfig, Shape4, string][] = [
    [
      { ...conv(8, [1, 3, 3], [1, 2, 2]), upsample: [1, 2, 2] },
      [1, 4, 4, 1],
      "upsample [1,2,2] with",
    ],
    [{ ...conv(8), upsample: [2, 1, 1] }, [1, 4, 4, 1], "the first number may be 1"],
    [conv(8, [1, 3, 3], [1, 2, 2]), [1, 4, 4, 1], "make the kernel 4, or set odd_zero"],
    [{ op: "skip", layers: [{ op: "relu" }] }, [1, 4, 4, 4], "its layers must end in a conv"],
    [{ op: "skip", layers: [conv(8)] }, [1, 4, 4, 4], "make [1,4,4,8] of [1,4,4,4]"],
    [
      { op: "skip", layers: [conv(8)], shortcut: conv(6) },
      [1, 4, 4, 4],
      "can't be added to [1,4,4,6]",
    ],
    [{ op: "skip", layers: [conv(8, [1, 2, 1])] }, [1, 4, 4, 4], "x[0] (skip)[0] (conv): kernel 2"],
    [{ op: "halve_time" }, [3, 4, 4, 4], "time of 3 isn't divisible by stride 2"],
    [{ op: "normalize", mean: [0, 0], deviation: [1, 1] }, [1, 1, 1, 1], "lists 2 channels, but"],
    [
      { op: "normalize", mean: [0], deviation: [1], inverse: true },
      [1, 1, 1, 2],
      "gives 2; list as many",
    ],
    [{ op: "frame_attention" }, [1, 2, 2, 9], "9 channels aren't queries, keys and values"],
  ];
  for (const [layer, input, why] of cases) {
    const place = () => placeLayers({ name: "x", layers: [layer], input });
    await assertInputError(place, `x[0] (${layer.op})`, why);
  }
});
