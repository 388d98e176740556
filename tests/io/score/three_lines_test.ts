/** README: two systems are scored with three lines. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Silero } from "../../../io/score/silero.ts";
import { draw } from "../../../io/reports/report.ts";
import { tinyConfig } from "../../engine/support.ts";
import { withCheckpoint } from "../../engine/tiny_checkpoint.ts";
import { chromium, rendered } from "../chromium.ts";
import { smallSet } from "../eval/players.ts";
import { ffmpeg, make } from "../media.ts";

const root = new URL("../../../", import.meta.url).pathname;
const readme = await Deno.readTextFile(`${root}README.md`);
const [, lines = ""] =
  /Two systems in three lines:[^`]*(?:`[^`]+`[^`]*)*```sh\n(.*?)```/s.exec(readme) ?? [];
const failure = (work: Promise<unknown>) => work.then(() => null, (error: Error) => error.message);
const why = ffmpeg === null
  ? "no FFmpeg was found"
  : chromium === undefined
  ? "no Chromium on PATH"
  : await failure(draw([])) ??
    await failure(Silero.open().then((silero) => silero[Symbol.asyncDispose]()));
const name = "README's three lines score two systems, and the page shows both";

Deno.test({
  name: why === null ? name : `${name} (skipped: ${why})`,
  ignore: why !== null,
  fn: (context) =>
    withCheckpoint(tinyConfig(), async (model) => {
      const [batch = "", score = "", open = "", ...more] = lines.trim().split("\n");
      assertEquals(more, []);
      // A short small set, and a checkpoint that is quick.
      const folder = `${model}/work`;
      for (const one of ["100000", "100003"]) {
        await Deno.mkdir(`${folder}/samples/eval/${one}`, { recursive: true });
        for (const side of ["user", "agent"]) {
          const from = ["-ss", "3", "-t", "4", "-i", `${smallSet}/${one}/${side}.mp4`];
          await make(...from, "-vn", `${folder}/samples/eval/${one}/${side}.wav`);
        }
      }
      const run = async (line: string, ...args: string[]) => {
        const [program, ...words] = line.split(" ");
        assertEquals(program, "wanstream");
        const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
          args: ["run", "-q", "-A", "--no-check", `${root}main.ts`, ...words, ...args],
          cwd: folder,
          env: { NO_COLOR: "1" },
          stdin: "null",
        }).output();
        const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
        return { code, out: text(stdout), err: text(stderr) };
      };
      const answered = await run(batch, "--model", model, "--no-tune");
      if (answered.err.includes("no Vulkan driver")) {
        await context.step({ name: "skipped: no Vulkan driver", ignore: true, fn: () => {} });
        return;
      }
      assertEquals(answered.code, 0, answered.err);
      const scored = await run(score);
      assertEquals(scored.code, 0, scored.err);
      for (
        const part of [
          "out/nano: 2 conversations",
          "samples/eval: 2 conversations",
          "replays are heard one unit",
        ]
      ) {
        assertStringIncludes(scored.out, part);
      }
      const page = open.split(" ").at(-1) ?? "";
      const dom = await rendered(`${folder}/${page}`, folder);
      for (const system of [1, 2]) {
        for (const at of [1, 2]) {
          assertStringIncludes(dom, `<figure id="plot-timeline-${system}-${at}">`);
        }
      }
      // The recorded agent's speech is in its timelines.
      const [, timeline = ""] = dom.split('<figure id="plot-timeline-2-2">');
      assert(/side: agent; to:/.test(timeline.split("</figure>")[0] ?? ""));
    }),
});
