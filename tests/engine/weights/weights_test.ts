import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { type CheckpointTensor, Weights } from "../../../engine/weights/weights.ts";

function tensor(shape: number[], values: number[]): CheckpointTensor {
  const bytes = new Uint8Array(new SharedArrayBuffer(4 * values.length));
  bytes.set(new Uint8Array(Float32Array.from(values).buffer));
  return { dtype: "F32", shape, bytes };
}

const weights = Weights.of(
  new Map([["a.0.weight", tensor([1, 2], [3, 4])], ["a.0.bias", tensor([1], [5])]]),
);

Deno.test("Weights finds tensors by prefix and name", () => {
  const layer = weights.under("a").under("0");
  assertEquals(layer.prefix, "a.0.");
  assertEquals([...layer.get("weight", [1, 2])], [3, 4]);
  const { weight, bias } = layer.load({
    weight: { shape: [1, 2], fill: "ones" },
    bias: { shape: [1], fill: "ones" },
  });
  assertEquals([[...weight], [...bias]], [[3, 4], [5]]);
});

Deno.test("Weights names a missing tensor, and one of another shape", () => {
  assertThrows(() => weights.under("a").get("1.bias", [1]), InputError, "no tensor a.1.bias");
  assertThrows(() => weights.get("a.0.weight", [2, 1]), InputError, "a.0.weight has shape [1,2]");
});
