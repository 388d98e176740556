/** Agents that are opened by name answer unit by unit. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import type { CascadeResponse } from "../../../engine/cascade/parts.ts";
import { parseAgent } from "../../../io/agents/agent.ts";
import { openAgent } from "../../../io/agents/open.ts";
import { pump } from "../../../io/pace/pump.ts";
import { tinyConfig } from "../../engine/support.ts";
import { hasAdapter } from "../../engine/session/adapter.ts";
import { withCheckpoint } from "../../engine/tiny_checkpoint.ts";

const options = {
  model: { "no-tune": true, quiet: true },
  ffmpeg: () => Promise.reject(new Error("FFmpeg is needed")),
  judges: "/nowhere",
};
const skipped = hasAdapter ? "" : " (skipped: no WebGPU adapter)";

Deno.test({
  name:
    `a checkpoint and a cascade of it answer the same recording, each again with the same bytes${skipped}`,
  ignore: !hasAdapter,
  fn: () =>
    withCheckpoint(tinyConfig(), async (folder) => {
      // Speech by its level in units 2 and 3.
      const loud = Float32Array.from({ length: 2560 }, () => Math.random() - 0.5);
      const picture = new Uint8Array(4 * 16 * 16 * 3).fill(90);
      async function* given() {
        for (let i = 0; i < 7; i++) {
          const audio = i === 2 || i === 3 ? loud : new Float32Array(2560);
          yield await Promise.resolve({ audio, frames: picture });
        }
      }
      for (const name of [folder, `cascade:${folder},activity=level,end=silence:0.2`]) {
        const agent = await openAgent(parseAgent(name), options);
        try {
          const run = async (seed: number) => {
            const session = await agent.open({ name: "one", truth: null }, seed);
            const all: CascadeResponse[] = [];
            const { signal } = new AbortController();
            for await (const one of pump(session, given(), signal)) {
              all.push(one as CascadeResponse);
            }
            return all;
          };
          const [one, again, other] = [await run(1), await run(1), await run(2)];
          assertEquals(one.length, 7);
          const sounds = (all: CascadeResponse[]) => all.map(({ audio, text }) => [audio, text]);
          assertEquals(sounds(one), sounds(again));
          assert(JSON.stringify(sounds(one)) !== JSON.stringify(sounds(other)), name);
          assertEquals([agent.name, await agent.programs()], [name, []]);
          assert(agent.checkpointDigest.length === 64 && !agent.line.includes("\n"), agent.line);
          if (name === folder) continue;
          const ended = one.flatMap(({ trace }) => trace ?? []).filter(({ module }) =>
            module === "endOfTurn"
          );
          assertEquals(ended.map(({ unit }) => unit), [5], JSON.stringify(ended));
        } finally {
          await agent.close();
        }
      }
      const oracle = await openAgent(
        parseAgent(`cascade:${folder},activity=level,end=oracle`),
        options,
      );
      const { message } = await assertRejects(
        () => oracle.open({ name: "one", truth: null }, 0),
        InputError,
      );
      await oracle.close();
      assert(message.includes("one has no truth record"), message);
    }),
});

Deno.test("what can't be opened says why, in one line", async () => {
  const model = new URL("../../../engine/models/nano-1", import.meta.url).pathname;
  const folder = await Deno.makeTempDir();
  const wrong: [string, RegExp][] = [
    [`${folder}/none`, /no such/],
    [folder, /neither config.json/],
    [`cascade:${folder}`, /config.json/],
    [`${model},delay=1`, /is a checkpoint/],
    [`cascade:${model},activity=level,end=smart`, /deno task setup --judges/],
    [`cascade:public,model=${model},activity=level,end=oracle`, /deno task setup --judges/],
  ];
  for (const [name, message] of wrong) {
    const { message: said } = await assertRejects(
      () => openAgent(parseAgent(name), options),
      InputError,
    );
    assert(message.test(said) && !said.includes("\n"), said);
  }
  await Deno.remove(folder);
});
