/** Sessions that tell how their responses were made: in every placement, storage and schedule, after a
 * resume and after a recovery, and with the same bytes as sessions that don't. */
import { assert, assertEquals } from "@std/assert";
import {
  attentionAxes,
  type Inspection,
  type Observation,
  type Response,
} from "../../../engine/checkpoint/unit.ts";
import type { SessionOptions } from "../../../engine/model/settings.ts";
import { openModel, openSession } from "../../../engine/session/model.ts";
import type { Durability } from "../../../engine/session/session.ts";
import { randomCheckpoint, randomObservations, tinyConfig } from "../support.ts";
import { withAdapter } from "./adapter.ts";
import { breakRole } from "./faults.ts";

const config = tinyConfig();
const checkpoint = await randomCheckpoint(config, 21);
const base: SessionOptions = {
  seed: 3,
  sampling: { temperature: 1 },
  solver: { steps: 2, guidance: 1.5 },
  prompt: "be kind",
};
const list = randomObservations(config, 8, 31).map((observation, unit): Observation => ({
  ...observation,
  ...(unit === 1 ? { text: "hi" } : {}),
}));

async function replay(
  options: SessionOptions,
  durability: Durability = {},
  observations = list,
): Promise<Response[]> {
  await using session = await openSession(checkpoint, { ...base, ...options }, durability);
  return await Array.fromAsync(session.respond(observations));
}

/** Everything but times and the inspection. */
const content = (responses: Response[]) =>
  responses.map(({ stages: _, inspection: __, ...rest }) => rest);
const inspections = (responses: Response[]) =>
  responses.map(({ inspection }): Inspection => {
    assert(inspection);
    return inspection;
  });

/** Share of a query's attention in a layer, summed over what `keep` keeps. */
function share(
  { attention }: Inspection,
  query: number,
  layer: number,
  keep: (group: string, age: string) => boolean = () => true,
): number {
  const { groups, ages } = attentionAxes;
  let sum = 0;
  groups.forEach((group, g) =>
    ages.forEach((age, a) => {
      const at = ((query * attention.layers + layer) * groups.length + g) * ages.length + a;
      if (keep(group, age)) sum += attention.shares[at] ?? NaN;
    })
  );
  return sum;
}

withAdapter("inspect changes no byte, in every placement, schedule and storage", async () => {
  for (
    const options of [
      { placement: "fused", schedule: "paper", precision: "f32" },
      { placement: "split", schedule: "eager", precision: "f32" },
      { placement: "fused", schedule: "eager", precision: "int8" },
      {
        placement: "split",
        schedule: "paper",
        precision: "f16",
        solver: { guidance: 1, steps: 1 },
      },
    ] as const
  ) {
    const plain = await replay(options);
    assert(plain.every((response) => !("inspection" in response)));
    const inspected = await replay(options, { inspect: true });
    assertEquals(content(inspected), content(plain));
    inspections(inspected).forEach((inspection, unit) => {
      assertEquals(inspection.attention.layers, config.num_hidden_layers);
      for (let layer = 0; layer < config.num_hidden_layers; layer++) {
        for (const query of attentionAxes.queries.keys()) {
          const name = `unit ${unit}, layer ${layer}, query ${query}`;
          assert(Math.abs(share(inspection, query, layer) - 1) < 1e-4, name);
          assert(share(inspection, query, layer, (group) => group === "prefill") > 0, name);
          const isNow = (age: string) => age === "this unit";
          const response = (group: string, age: string) => /agent/.test(group) && isNow(age);
          // The row that the first word is read at comes before the unit's words and latents.
          assertEquals(share(inspection, query, layer, response) > 0, query === 1, name);
          const typed = share(inspection, query, layer, (g, age) => g === "userText" && isNow(age));
          assertEquals(typed > 0, unit === 1, name);
          const past = share(inspection, query, layer, (_, age) => age === "the last 5");
          assertEquals(past > 0, unit > 0, name);
        }
      }
      const { top, filler, entropy, path } = inspection;
      const guided = options.precision !== "f16";
      assertEquals(path.length, guided ? 2 : 1);
      for (const { audio, video } of path) {
        for (const { velocity, guidance } of [audio, video]) {
          assert(velocity > 0 && (guided ? Number(guidance) > 0 : guidance === null));
        }
      }
      assert(path[0]?.tau === 1);
      assertEquals(top.length, 8);
      top.reduce((before, one) => (assert(before.probability >= one.probability), one));
      assert(filler > 0 && filler < 1 && entropy > 0 && entropy <= Math.log(config.vocab_size));
    });
  }
});

withAdapter("the words of an inspection are those of the details", async () => {
  const both = await replay({ placement: "fused" }, { inspect: true, details: true });
  for (const { details, inspection } of both) {
    assert(details && inspection);
    const row = [...details.probabilities.subarray(0, config.vocab_size)];
    const order = row.map((_, id) => id).sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0) || a - b);
    assertEquals(inspection.top.map(({ token }) => token), order.slice(0, 8));
    for (const { token, probability, text } of inspection.top) {
      assertEquals(probability, row[token]);
      if (token > 32 && token < 127) assertEquals(text, String.fromCharCode(token));
    }
    assertEquals(inspection.filler, row[config.filler_token_id]);
    const entropy = row.reduce((sum, p) => sum - p * Math.log(p), 0);
    assert(Math.abs(inspection.entropy - entropy) < 1e-6);
  }
});

withAdapter("split and fused see the same, after a resume and after a recovery too", async () => {
  const expected = inspections(await replay({ placement: "fused" }, { inspect: true }));
  for (const placement of ["fused", "split"] as const) {
    assertEquals(inspections(await replay({ placement }, { inspect: true })), expected, placement);

    await using first = await openSession(checkpoint, { ...base, placement }, { inspect: true });
    for (const observation of list.slice(0, 4)) await first.step(observation);
    const resume = await first.snapshot();
    const rest = await replay({ placement }, { resume, inspect: true }, list.slice(4));
    assertEquals(inspections(rest), expected.slice(4), `${placement} resumed`);

    const durability = { inspect: true, snapshotEvery: 3 };
    await using broken = await openSession(checkpoint, { ...base, placement }, durability);
    const responses = [];
    for (const [unit, observation] of list.entries()) {
      responses.push(await broken.step(observation));
      if (unit === 4) breakRole("performer", "device");
    }
    assertEquals(inspections(responses), expected, `${placement} recovered`);
    assertEquals(broken.recoveries.length, 1);
  }
});

withAdapter("a session after an inspected one has nothing of it", async () => {
  await using model = await openModel(checkpoint, { placement: "fused" });
  const bytes: number[] = [];
  for (const inspect of [false, true, false]) {
    await using session = await model.openSession(base, { inspect });
    const [response] = await Array.fromAsync(session.respond(list.slice(0, 1)));
    assertEquals(response !== undefined && "inspection" in response, inspect);
    bytes.push(session.info.thinker.sessionBytes);
  }
  const [before = NaN, inspected = NaN, after] = bytes;
  assertEquals(after, before);
  assert(inspected > before);
});
