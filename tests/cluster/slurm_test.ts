/** `batch` on a real Slurm: an array over a dozen recordings, ended in the middle, queued again, merged,
 * and equal to the byte to a run on one machine. */
import { assert, assertEquals } from "@std/assert";
import { exitCodes } from "../../io/batch/status.ts";
import { listAdapters } from "../../kernels/gpu/probe.ts";
import { tinyConfig } from "../engine/support.ts";
import { withCheckpoint } from "../engine/tiny_checkpoint.ts";
import { ffmpeg, make, names } from "../io/media.ts";
import { Slurm, until, whyNoSlurm } from "./slurm.ts";

const root = new URL("../../", import.meta.url).pathname;
const script = `${root}scripts/cluster/batch.sbatch`;
/** The command as sbatch's script and this test start it: with the permissions that users give it. */
const wanstream = [Deno.execPath(), "task", "-q", "--config", `${root}deno.json`];
const shards = 4;
/** Places in the manifest: of a file that is no recording, of the recording at which a task is killed, and
 * of one at which the program is. */
const bad = 1, held = 7, crash = 4;

const why = whyNoSlurm() ?? (ffmpeg ? null : "no FFmpeg was found") ??
  ((await listAdapters()).length > 0 ? null : "no WebGPU adapter on this machine");

/**
 * Stands in for FFmpeg and calls it. The first time that it is to read the recording `held`, it says in a
 * file which process group started it and waits; at `crash` it kills the program that started it, once.
 */
const gate = (folder: string) =>
  `#!/bin/sh
case "$*" in
  *held*)
    if [ ! -e ${folder}/open ]; then
      ps -o pgid= -p $PPID > ${folder}/held.$$ && mv ${folder}/held.$$ ${folder}/held
      while [ ! -e ${folder}/open ]; do sleep 0.1; done
    fi ;;
  *crash*) if mkdir ${folder}/crashed 2>/dev/null; then kill -9 $PPID; fi ;;
esac
exec '${ffmpeg?.path}' "$@"
`;

async function batch(args: string[], env: Record<string, string>) {
  const [program = "", ...rest] = [...wanstream, "batch", ...args];
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: rest,
    env,
    stdin: "null",
  })
    .output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** Makes the recordings and their manifest. */
async function prepare(folder: string): Promise<string[]> {
  const ids = Array.from({ length: 3 * shards }, (_, i) => `r${i}`);
  const inputs = ids.map((id, i) =>
    i === held ? "held.flac" : i === crash ? "crash.flac" : `${id}.wav`
  );
  const noise = ["-f", "lavfi", "-i", "anoisesrc=sample_rate=16000:seed=1:duration=6"];
  await make(
    ...noise,
    ...inputs.flatMap((
      input,
      i,
    ) => ["-ss", `${i / 2}`, "-t", `${0.2 + i / 30}`, `${folder}/${input}`]),
  );
  await Deno.writeTextFile(`${folder}/${inputs[bad]}`, "this is no recording ".repeat(99));
  const lines = ids.map((id, i) => JSON.stringify({ id, input: inputs[i], seed: i % 5 }));
  await Deno.writeTextFile(`${folder}/manifest.jsonl`, lines.join("\n"));
  return ids;
}

/** What of an item's result must not depend on who made it. */
function resultOf(folder: string) {
  const files = names(folder);
  const marker = files.find((name) => /^(done|error)\.json$/.test(name)) ?? "";
  const { provenance, outputs = [], realTimeFactor: _, wallSeconds: __, ...rest } = JSON.parse(
    Deno.readTextFileSync(`${folder}/${marker}`),
  );
  const { run: ___, ...origin } = provenance;
  const responses = files.filter((name) => name.startsWith("response."));
  return {
    files,
    responses: responses.map((name) => Deno.readFileSync(`${folder}/${name}`).toHex()),
    outputs: outputs.filter(({ name }: { name: string }) => name !== "events.jsonl"),
    origin,
    rest,
  };
}

const ended = ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"];

Deno.test({
  name:
    "a Slurm array with holes, ended in the middle, queued again and merged gives the same bytes " +
    `as one machine${why ? ` (skipped: ${why})` : ""}`,
  ignore: why !== null,
}, async () => {
  const folder = await Deno.makeTempDir({ prefix: "wanstream-" });
  try {
    await withCheckpoint(tinyConfig(), async (model) => {
      const ids = await prepare(folder);
      await Deno.writeTextFile(`${folder}/ffmpeg`, gate(folder), { mode: 0o755 });
      const env = { FFMPEG_BIN: `${folder}/ffmpeg`, NO_COLOR: "1" };
      const options = ["--model", model, "--no-tune"];
      const [manifest, out] = [`${folder}/manifest.jsonl`, `${folder}/out`];

      await Deno.mkdir(`${folder}/slurm`);
      await using slurm = await Slurm.start(`${folder}/slurm`, 2);
      const submit = (array: string) =>
        slurm.submit(
          [
            `--array=${array}`,
            `--output=${folder}/log-%a`,
            script,
            manifest,
            out,
            `${shards}`,
            ...options,
          ],
          { ...env, WANSTREAM: wanstream.join(" ") },
        );
      /** Waits until tasks have ended. */
      const end = (job: string, ...indices: number[]) =>
        until(`the end of ${job}'s tasks ${indices}`, async () => {
          const tasks = await slurm.tasks(job);
          const found = indices.map((index) => tasks.get(index));
          return found.every((task) => task && ended.includes(task.state)) && found;
        });

      const job = await submit("1,3");
      const group = await until(
        "the recording at which a task is killed",
        () => Deno.readTextFile(`${folder}/held`).catch(() => null),
      );
      Deno.kill(-Number(group), "SIGKILL");
      const failed = { state: "FAILED", restarts: 0 };
      assertEquals(await end(job, 1, 3), [
        { ...failed, exit: `${exitCodes.badInput}:0` },
        { ...failed, exit: "0:9" },
      ]);
      const cut = await batch(["status", out], env);
      assertEquals([cut.code, cut.stdout], [exitCodes.again, "0,2-3\n"], cut.stderr);
      await Deno.writeTextFile(`${folder}/open`, "");
      await slurm.run("scontrol", "requeue", `${job}_3`);
      await until(
        "the task in the queue",
        async () => (await slurm.tasks(job)).get(3)?.restarts === 1,
      );
      assertEquals(await end(job, 3), [{ state: "COMPLETED", exit: "0:0", restarts: 1 }]);
      const settled = names(out).filter((name) => !name.startsWith("."));
      assertEquals(settled, ids.filter((_, i) => [1, 3].includes(i % shards)).sort());

      const rest = await batch(["status", out], env);
      assertEquals([rest.code, rest.stdout], [exitCodes.again, "0,2\n"], rest.stderr);
      const second = await submit(rest.stdout.trim());
      const completed = { state: "COMPLETED", exit: "0:0" };
      assertEquals(await end(second, 0, 2), [
        { ...completed, restarts: 1 },
        { ...completed, restarts: 0 },
      ]);
      const merged = await batch(["merge", out], env);
      assertEquals(merged.code, exitCodes.badInput, merged.stderr);
      assert(merged.stderr.includes(`r${bad}: `), merged.stderr);

      const one = await batch([manifest, "-o", `${folder}/one`, ...options], env);
      assertEquals(one.code, exitCodes.badInput, one.stderr);
      for (const id of ids) {
        assertEquals(resultOf(`${out}/${id}`), resultOf(`${folder}/one/${id}`), id);
      }
      assertEquals(names(`${out}/.wanstream`), names(`${folder}/one/.wanstream`));
    });
  } catch (error) {
    const logs = [...names(folder), ...names(`${folder}/slurm`).map((name) => `slurm/${name}`)]
      .filter((name) => /^log-|\.log$/.test(name))
      .map((name) => `${name}:\n${Deno.readTextFileSync(`${folder}/${name}`)}`);
    throw new Error(logs.join("\n"), { cause: error });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
