import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { philoxKey, philoxStream } from "../../../kernels/gpu/philox.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { sample, type SampleArguments } from "../../../kernels/tokens/sample.ts";
import { makeTensor, tensorFrom } from "../../../kernels/gpu/tensor.ts";
import { normal, random } from "../../reference/random.ts";
import { argmax, kept, scores } from "../../reference/sample.ts";
import { poisoned, run, surrounded, withGpu } from "../support.ts";

/** Token ids that the kernel chooses for units 0, 1, ... of one row of logits. */
async function choose(
  gpu: Gpu,
  logits: Float32Array,
  units: number,
  settings: Partial<SampleArguments>,
): Promise<number[]> {
  const row = surrounded(gpu, "logits", [1, logits.length], logits, { offset: 1 });
  const numbers = tensorFrom(
    gpu,
    "units",
    [units],
    Uint32Array.from({ length: units }, (_, i) => i),
  );
  const ids = poisoned(gpu, "ids", [units], { dtype: "u32" });
  const steps = Array.from({ length: units }, (_, i) =>
    sample(gpu, {
      label: "test",
      logits: row,
      id: { ...ids, offset: ids.offset + i, shape: [1] },
      unit: { ...numbers, offset: i, shape: [1] },
      slot: 0,
      seed: 0,
      ...settings,
    }));
  run(gpu, ...steps.flat());
  return [...await readTensor(gpu, ids)];
}

withGpu("sample() is greedy by default and takes the lowest id of equals", async (gpu) => {
  for (const size of [1, 3, 272, 1021, 5000]) {
    const logits = normal(random(size), size);
    assertEquals(await choose(gpu, logits, 1, {}), [argmax(logits)]);
    logits.fill(Math.max(...logits), Math.floor(size / 3));
    assertEquals(await choose(gpu, logits, 1, {}), [argmax(logits)]);
  }
  assertEquals(await choose(gpu, new Float32Array(300).fill(-7), 1, {}), [0]);
});

withGpu("sample() draws what float64 draws, with top k and top p", async (gpu) => {
  const cases = [
    { temperature: 1, topK: 0, topP: 1 },
    { temperature: 0.7, topK: 5, topP: 1 },
    { temperature: 1.3, topK: 0, topP: 0.8 },
    { temperature: 1, topK: 40, topP: 0.5 },
    { temperature: 2, topK: 1000, topP: 0.95 },
  ];
  for (const size of [272, 1021]) {
    const logits = normal(random(size), size, 2);
    for (const settings of cases) {
      const seed = 2 ** 40 + size;
      const ids = await choose(gpu, logits, 24, { ...settings, seed, slot: 3 });
      let clear = 0;
      ids.forEach((id, unit) => {
        const counter = { unit, slot: 3, stream: philoxStream.sampling, key: philoxKey(seed) };
        const expected = scores(logits, settings, counter);
        const best = argmax(expected);
        // Where float32 can't tell the two best apart, either will do.
        if (id !== best) {
          assert((expected[best] ?? 0) - (expected[id] ?? -Infinity) < 1e-4, `unit ${unit}: ${id}`);
        } else clear++;
      });
      assert(clear >= 22, `${clear} of 24 draws are the reference's`);
    }
  }
});

withGpu("sample() never leaves the top k or the top p", async (gpu) => {
  const logits = normal(random(5), 203);
  for (const settings of [{ topK: 3, topP: 1 }, { topK: 0, topP: 0.05 }, { topK: 1, topP: 1 }]) {
    const ids = await choose(gpu, logits, 60, { ...settings, temperature: 50, seed: 9 });
    const allowed = kept(logits, { ...settings, temperature: 50 });
    const out = ids.filter((id) => !allowed[id]);
    assertEquals(out, []);
    // A high temperature reaches all of them, one of them with k = 1.
    const count = allowed.filter((stays) => stays).length;
    assert(new Set(ids).size >= Math.min(count, 8), `${new Set(ids).size} of ${count} seen`);
  }
});

withGpu("sample() follows the softmax", async (gpu) => {
  const logits = Float32Array.of(0, 1, 2, -1, 0.5);
  const draws = 1500;
  const ids = await choose(gpu, logits, draws, { temperature: 0.8, seed: 77 });
  const mass = Array.from(logits, (logit) => Math.exp(logit / 0.8));
  const total = mass.reduce((sum, value) => sum + value, 0);
  let chiSquare = 0;
  mass.forEach((value, id) => {
    const expected = (draws * value) / total;
    chiSquare += (ids.filter((drawn) => drawn === id).length - expected) ** 2 / expected;
  });
  // 4 degrees of freedom: 0.1% of fair draws are above 18.5.
  assert(chiSquare < 18.5, `chi square ${chiSquare}`);
});

withGpu("sample() depends on seed, unit and slot", async (gpu) => {
  const logits = new Float32Array(997);
  const one = await choose(gpu, logits, 8, { temperature: 1, seed: 1 });
  assertEquals(await choose(gpu, logits, 8, { temperature: 1, seed: 1 }), one);
  assertEquals(new Set(one).size, 8);
  for (const other of [{ seed: 2 }, { seed: 1 + 2 ** 32 }, { seed: 1, slot: 1 }]) {
    const ids = await choose(gpu, logits, 8, { temperature: 1, ...other });
    assert(ids.filter((id, i) => id === one[i]).length <= 1);
  }
});

withGpu("sample() handles a large vocabulary", async (gpu) => {
  const logits = normal(random(2), 151936);
  logits[151935] = 30;
  assertEquals(await choose(gpu, logits, 1, {}), [151935]);
  assertEquals(await choose(gpu, logits, 1, { temperature: 0.5, topK: 20, topP: 0.9 }), [151935]);
});

withGpu("sample() refuses what it can't do", (gpu) => {
  const logits = makeTensor(gpu, "logits", [1, 8]);
  const id = makeTensor(gpu, "id", [1], "u32");
  const unit = makeTensor(gpu, "unit", [1], "u32");
  const args = { label: "bad", logits, id, unit, slot: 0, seed: 0 };
  for (
    const wrong of [
      { temperature: -1 },
      { topP: 0 },
      { topP: 1.1 },
      { topK: -1 },
      { seed: 0.5 },
      { id: unit },
      { logits: makeTensor(gpu, "logits", [2, 8]) },
    ]
  ) {
    assertThrows(() => sample(gpu, { ...args, ...wrong }), RangeError);
  }
});
