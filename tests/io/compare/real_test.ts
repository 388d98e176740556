/** `deno task compare` with just the task's permissions: the shipped checkpoint beside a cascade of it,
 * on ten seconds. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Silero } from "../../../io/score/silero.ts";
import { hasAdapter } from "../../engine/session/adapter.ts";
import { shorten } from "../eval/players.ts";
import { ffmpeg, ffmpegTest } from "../media.ts";
import { assertSchema } from "../schemas.ts";

const root = new URL("../../../", import.meta.url).pathname;
const units = 62;

const why = ffmpeg === null ? null : hasAdapter
  ? await Silero.open().then(
    (silero) => silero[Symbol.asyncDispose]().then(() => null),
    (error: Error) => error.message,
  )
  : "no WebGPU adapter";
const name =
  "compare runs a checkpoint and a cascade, and a second run makes the page of what is there";

if (why !== null) Deno.test({ name: `${name} (skipped: ${why})`, ignore: true, fn: () => {} });
else {
  ffmpegTest(name, async (folder) => {
    await shorten("100000", `${folder}/set`, units);
    const agents = ["engine/models/nano-1", "cascade:engine/models/nano-1"];
    const compare = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["task", "-q", "compare", ...agents, `${folder}/set`, "-o", `${folder}/out`, ...args],
        cwd: root,
        env: { NO_COLOR: "1" },
        stdin: "null",
      }).output();
      const [out, said] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
      assertEquals(code, 0, said);
      return { out: out ?? "", said: said ?? "" };
    };
    const first = await compare("--json", "--draws", "0");
    const result = JSON.parse(first.out);
    assertSchema(result);
    const figure = (key: string) =>
      result.conditions[0].figures.find((one: { key: string }) => one.key === key);
    assertEquals(result.agents.map(({ paper }: { paper: object }) => paper !== null), [true, true]);
    assert(figure("computePerSecond").a.value > 0 && figure("computePerSecond").b.value > 0);
    // Two sessions of the same checkpoint take twice the tokens.
    const [one, two] = result.agents;
    assertEquals(two.paper.tokensPerSecond, 2 * one.paper.tokensPerSecond);
    const [, line = ""] = (await Deno.readTextFile(
      `${folder}/out/cascade_engine_models_nano-1.quiet.jsonl`,
    )).split("\n");
    const { live, active } = JSON.parse(line);
    assertEquals([live.computeMs.length, active.length], [units, units]);
    assert(live.trace.some(({ module }: { module: string }) => module === "activity"));
    assert(result.sweep.points.length >= 15 + 3 + 2);
    const again = await compare("--report", `${folder}/page.html`, "--draws", "0");
    assert(!again.said.includes("of 1:"), "nothing is run again");
    assertStringIncludes(await Deno.readTextFile(`${folder}/page.html`), "data:audio/wav");
  });
}
