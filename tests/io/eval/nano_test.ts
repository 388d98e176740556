/** `deno task eval` with the shipped checkpoint, with just the task's permissions, on a few seconds. */
import { assert, assertEquals } from "@std/assert";
import type { Row } from "../../../io/eval/figures/bars.ts";
import { ffmpeg } from "../media.ts";
import { shorten } from "./players.ts";

const root = new URL("../../../", import.meta.url).pathname;
const units = 40;

const test = "eval measures the shipped checkpoint and prints one JSON object";

Deno.test({
  name: ffmpeg ? test : `${test} (skipped: no FFmpeg was found)`,
  ignore: ffmpeg === null,
  fn: async (context) => {
    const folder = await Deno.makeTempDir({ prefix: "wanstream-test-" });
    try {
      await measure(context, folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

async function measure(context: Deno.TestContext, folder: string): Promise<void> {
  await shorten("100001", folder, units);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "-q", "eval", folder, "--json", "--events", `${folder}/events.jsonl`],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const messages = new TextDecoder().decode(stderr);
  if (messages.includes("no Vulkan driver")) {
    await context.step({ name: "skipped: no Vulkan driver", ignore: true, fn: () => {} });
    return;
  }
  assertEquals(code, 0, messages);
  const report = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals([report.recordings, report.units], [1, units]);
  const figures = new Map((report.figures as Row[]).map((row) => [row.key, row]));
  // The codec's floor is a real one: pictures and mouths come through nano's codec nearly whole.
  const floor = figures.get("lipsCodec")?.value ?? NaN;
  assert(floor > 0.5 && floor < 1, `${floor}`);
  const frechet = figures.get("pictureFrechet");
  assert((frechet?.beside?.value ?? NaN) > 1 && (frechet?.beside?.value ?? NaN) < 500);
  const [, recording] = (await Deno.readTextFile(`${folder}/events.jsonl`)).split("\n");
  // The same figures, by the command that runs nothing, with its own permissions.
  const again = await new Deno.Command(Deno.execPath(), {
    args: ["task", "-q", "figures", `${folder}/events.jsonl`, "--json"],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  assertEquals(again.code, 0, new TextDecoder().decode(again.stderr));
  const { figures: same, sources } = JSON.parse(new TextDecoder().decode(again.stdout));
  assertEquals(same, report.figures);
  assertEquals(sources[0].runs[0].checkpoint, report.provenance.checkpoint);
  const { words, active } = JSON.parse(recording ?? "");
  assertEquals(active.length, units);
  // It greets who appears, or at least says something in six seconds.
  assert(words.length > 0);
  assert(active.includes("1"));
}
