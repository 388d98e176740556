/** Qwen3 and Qwen2.5 as transformers computes them (tests/data/README.md): logits and greedy text. */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { CausalText, readBackbone } from "../../../scripts/reference/causal.ts";
import { withGpu } from "../../kernels/support.ts";
import { golden, readGoldens } from "../../reference/golden_file.ts";

/** Relative errors of logits, measured and doubled; those of f32 must be under 1e-3. */
const bounds = { f32: 1e-4, f16: 1e-2, int8: 4e-2, int4: 0.8 } as const;

for (const family of ["qwen3", "qwen2"] as const) {
  const folder = `backbone-${family}`;
  const goldens = await readGoldens(`${folder}/goldens.safetensors`);
  const path = fileURLToPath(new URL(`../../data/${folder}`, import.meta.url));
  for (const precision of ["f32", "f16", "int8", "int4"] as const) {
    withGpu(`${family} in ${precision} gives transformers' logits`, async (gpu) => {
      const { config, weights } = await readBackbone(path);
      const ids = [...golden(goldens, "ids").data];
      const expected = golden(goldens, "logits").data;
      const tokens = [...golden(goldens, "tokens").data];
      const text = new CausalText(gpu, config, weights, precision, ids.length + tokens.length);
      // Spans of several tokens and of one, over the history before them.
      const first = await text.logits(ids.slice(0, 9));
      const second = await text.logits(ids.slice(9, 10));
      const third = await text.logits(ids.slice(10));
      const actual = [...first, ...second, ...third];
      let [difference, size] = [0, 0];
      for (let i = 0; i < expected.length; i++) {
        difference += ((actual[i] ?? NaN) - (expected[i] ?? NaN)) ** 2;
        size += (expected[i] ?? NaN) ** 2;
      }
      const error = Math.sqrt(difference / size);
      assert(error < bounds[precision], `relative error ${error}`);
      if (precision !== "f32") return;
      const last = third.slice(-config.vocab_size);
      assertEquals(await text.greedy(last, tokens.length), tokens);
    });
  }
}
