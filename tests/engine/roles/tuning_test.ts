/** Sessions that choose their kernels by measuring. */
import { assert, assertEquals } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { openSession } from "../../../engine/session/model.ts";
import type { SessionOptions } from "../../../engine/model/settings.ts";
import { tickShapes } from "../../../engine/roles/tuning.ts";
import { Gpu } from "../../../kernels/gpu/device.ts";
import { productKey } from "../../../kernels/matmul/matmul_variant.ts";
import type { TuneRecord } from "../../../kernels/measure/tune.ts";
import { randomCheckpoint, randomObservations, settingsFor, tinyConfig } from "../support.ts";

const config = tinyConfig();
const checkpoint = await randomCheckpoint(config, 21);

/** Digests of a few units, what the roles chose, and what was said of tuning. */
async function replay(options: SessionOptions, record: TuneRecord) {
  let found = record;
  const said: string[] = [];
  const session = await openSession(checkpoint, {
    ...options,
    tuning: {
      record,
      begin: (adapter) => said.push(`measuring on ${adapter}`),
      end: (_, tuning) => {
        found = tuning.record;
        if (tuning.measured > 0) said.push(`measured ${tuning.measured}`);
      },
    },
  });
  const digests: string[] = [];
  const { thinker, performers } = session.info;
  for await (const { digest } of session.respond(randomObservations(config, 4, 31))) {
    digests.push(digest);
  }
  await session.close();
  return { digests, found, said, kernels: [thinker, ...performers].map((role) => role.kernels) };
}

const hasAdapter = await openSession(checkpoint, { placement: "fused" }).then(
  (session) => session.close().then(() => true),
  (error) => {
    if (error instanceof InputError) return false;
    throw error;
  },
);

Deno.test({
  name: "the same record gives the same choices and bytes, fused and split" +
    (hasAdapter ? "" : " (skipped: no WebGPU adapter on this machine)"),
  ignore: !hasAdapter,
  // Terminated Workers leave their ports behind.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const first = await replay({ placement: "fused" }, {});
    assertEquals(first.said.length, 2, "it says that it measures, and that it did");
    const [kernels = {}] = first.kernels;
    assert(Object.keys(kernels).length > 5 && kernels["operands"] !== undefined);
    for (const placement of ["fused", "split"] as const) {
      const again = await replay({ placement }, first.found);
      assertEquals(again.said, []);
      assertEquals(again.digests, first.digests, placement);
      assertEquals(again.kernels, [kernels, kernels]);
    }
    // Each Worker measures, or finds what the first has measured: they choose alike.
    const split = await replay({ placement: "split" }, {});
    assertEquals(split.said.length, 2);
    assertEquals(split.kernels[0], split.kernels[1]);
  },
});

Deno.test("tickShapes() names every product and attention of a tick once", async () => {
  const { products, attentions } = await tickShapes(config, settingsFor(config), Gpu.onPaper());
  const keys = products.map(productKey);
  assertEquals(new Set(keys).size, keys.length);
  const layers = products.filter(({ gated, normed, outputs }) =>
    gated || normed || outputs === config.hidden_size
  );
  // Four per layer for the pass, the solver and a single row; four observed and latent inputs.
  assertEquals([layers.length, products.length], [12 + 4, 12 + 4 + 3]);
  assertEquals(attentions.map(({ rows }) => rows).sort((a, b) => a - b), [1, 6, 14]);
});
