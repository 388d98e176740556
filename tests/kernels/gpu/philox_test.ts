import { assertEquals, assertThrows } from "@std/assert";
import { philoxCode, philoxKey } from "../../../kernels/gpu/philox.ts";
import { dispatch } from "../../../kernels/gpu/plan.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { makeTensor, tensorFrom } from "../../../kernels/gpu/tensor.ts";
import { normalOf, philox } from "../../reference/philox.ts";
import { random } from "../../reference/random.ts";
import { assertClose, run, withGpu } from "../support.ts";

/** Known answers of Random123 (its file kat_vectors): counter, key, result. */
const known = [
  ["00000000 00000000 00000000 00000000", "00000000 00000000"],
  ["ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff"],
  ["243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0"],
] as const;
const answers = [
  "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
  "408f276d 41c83b0e a20bc7c6 6d5451fd",
  "d16cfe09 94fdcceb 5001e420 24126ea1",
];

const code = philoxCode + `
@group(0) @binding(0) var<storage, read> inputs: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> words: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> normals: array<vec4f>;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3u) {
  let w = philox(inputs[id.x * 2u], inputs[id.x * 2u + 1u].xy);
  words[id.x] = w;
  normals[id.x] = philox_normal(w);
}`;

function parse(text: string): number[] {
  return text.split(" ").map((word) => parseInt(word, 16));
}

Deno.test("philox reference gives the known answers of Random123", () => {
  known.forEach(([counter, key], i) => {
    const [a = 0, b = 0, c = 0, d = 0] = parse(counter);
    const [k = 0, l = 0] = parse(key);
    assertEquals([...philox([a, b, c, d], [k, l])], parse(answers[i] ?? ""));
  });
});

withGpu("philox() gives the known answers and equals the reference elsewhere", async (gpu) => {
  const next = random(1);
  const word = () => Math.floor(next() * 2 ** 32);
  const inputs = known.flatMap(([counter, key]) => [...parse(counter), ...parse(key), 0, 0]);
  const expected = answers.flatMap(parse);
  for (let i = 0; i < 200; i++) {
    const [a, b, c, d, k, l] = [word(), word(), word(), word(), word(), word()];
    inputs.push(a, b, c, d, k, l, 0, 0);
    expected.push(...philox([a, b, c, d], [k, l]));
  }
  const count = expected.length / 4;
  const words = makeTensor(gpu, "words", [count * 4], "u32");
  const normals = makeTensor(gpu, "normals", [count * 4]);
  const bindings = [
    tensorFrom(gpu, "inputs", [inputs.length], Uint32Array.from(inputs)),
    words,
    normals,
  ];
  run(gpu, dispatch(gpu, "philox", gpu.pipeline("philox", code), bindings, [count, 1, 1]));
  assertEquals([...await readTensor(gpu, words)], expected);
  const gaussian: number[] = [];
  for (let i = 0; i < expected.length; i += 4) {
    const [a = 0, b = 0, c = 0, d = 0] = expected.slice(i, i + 4);
    gaussian.push(...normalOf([a, b, c, d]));
  }
  assertClose(await readTensor(gpu, normals), gaussian, { absolute: 2e-5, relative: 2e-4 });
});

Deno.test("philoxKey() splits a seed into words and refuses what isn't one", () => {
  assertEquals(philoxKey(0), [0, 0]);
  assertEquals(philoxKey(2 ** 53 - 1), [0xffffffff, 0x1fffff]);
  for (const seed of [-1, 0.5, 2 ** 53, NaN]) assertThrows(() => philoxKey(seed), RangeError);
});
