/** The cluster files: valid for the engines that read them, and of one mind with the program. */
import { assert, assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { exitCodes } from "../../io/batch/status.ts";
import { existing, onPath } from "../../scripts/programs.ts";
import { folderTest } from "../io/media.ts";
import { until } from "./slurm.ts";

const folder = new URL("../../scripts/cluster/", import.meta.url).pathname;
const read = (name: string) => Deno.readTextFileSync(`${folder}${name}`);
const [python] = existing([`${folder}.venv/bin/python`]);
const why = python ? "" : " (skipped: no scripts/cluster/.venv: deno task setup --tests)";

/** Checks a file against the schemas that Kubernetes publishes, unknown fields refused. */
async function validate(path: string) {
  const { success, stdout, stderr } = await new Deno.Command(python ?? "", {
    args: ["-m", "kubernetes_validate", "--strict", "-k", "1.29", "-k", "1.37", path],
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { success, said: text.decode(stdout) + text.decode(stderr) };
}

Deno.test({
  name: `the Kubernetes job is valid from 1.29 on, and a misspelt field is found${why}`,
  ignore: python === undefined,
}, async () => {
  const { success, said } = await validate(`${folder}job.yaml`);
  assert(success, said);
  const wrong = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    await Deno.writeTextFile(wrong, read("job.yaml").replace("completionMode", "completionsMode"));
    const refused = await validate(wrong);
    assert(!refused.success && refused.said.includes("completionsMode"), refused.said);
  } finally {
    await Deno.remove(wrong);
  }
});

Deno.test("the Kubernetes job has as many indices as shards, and fails one for good on 4 alone", () => {
  const job = read("job.yaml");
  const numbers = [/^ {2}completions: (\d+)/m, /^ {2}maxFailedIndexes: (\d+)/m, /--shards, "(\d+)"/]
    .map((pattern) => pattern.exec(job)?.[1]);
  assert(numbers[0] !== undefined);
  assertEquals(numbers, [numbers[0], numbers[0], numbers[0]]);
  assertEquals(job.match(/values: .*/g), [`values: [${exitCodes.badInput}]`]);
});

Deno.test("the image has this version's name and installs the Deno of the other commands", () => {
  const containerfile = read("Containerfile");
  for (const text of [containerfile, read("job.yaml")]) {
    assert(text.includes(`wanstream:${config.version}`), text);
  }
  const readme = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));
  const [, deno] = /npx -y (deno@[\d.]+)/.exec(readme) ?? [];
  assert(deno && containerfile.includes(`npm install --global ${deno} `));
  for (const [, names = ""] of containerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)) {
    for (const name of names.split(" ").filter((name) => !name.includes("*"))) {
      assert(
        existing([`${folder}../../${name}`]).length > 0 || Deno.statSync(`${folder}../../${name}`),
      );
    }
  }
});

const parallel = onPath("parallel");
Deno.test({
  name: "GNU parallel starts each shard once by README's line" +
    (parallel ? "" : " (skipped: no parallel; Debian: apt-get install parallel)"),
  ignore: parallel === undefined,
}, async () => {
  const [line = ""] = read("README.md").match(/seq 0 63 .*/) ?? [];
  const at = await Deno.makeTempDir({ prefix: "wanstream-" });
  try {
    const said = '#!/bin/sh\necho "$@"\n';
    await Deno.writeTextFile(`${at}/wanstream`, said, { mode: 0o755 });
    const { code, stdout } = await new Deno.Command("sh", {
      args: ["-c", line],
      env: { PATH: `${at}:${Deno.env.get("PATH")}`, HOME: at },
      stdin: "null",
    }).output();
    const shards = [
      ...new TextDecoder().decode(stdout).matchAll(/^batch MANIFEST -o DIR --shard (.*)$/gm),
    ];
    assertEquals(code, 0);
    assertEquals(
      shards.map(([, shard = ""]) => shard).sort(),
      Array.from({ length: 64 }, (_, i) => `${i}/64`).sort(),
    );
  } finally {
    await Deno.remove(at, { recursive: true });
  }
});

folderTest(
  "the Slurm script queues a task again where that may help, and passes signals on",
  async (at) => {
    if (Deno.build.os === "windows") return;
    const stand = (name: string, lines: string) =>
      Deno.writeTextFile(`${at}/${name}`, `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
    await stand("scontrol", `echo "$@" >> ${at}/queued`);
    await stand(
      "wanstream",
      `echo "$@" > ${at}/given
[ -z "$LEAVES" ] || exit "$LEAVES"
trap 'exit 130' TERM
: > ${at}/started
while :; do sleep 0.05; done`,
    );
    const run = async (env: Record<string, string>, signal?: Deno.Signal) => {
      for (const name of ["queued", "started"]) await Deno.remove(`${at}/${name}`).catch(() => {});
      const child = new Deno.Command("bash", {
        args: [`${folder}batch.sbatch`, "a b.jsonl", "out", "8", "--seed", "7"],
        env: { PATH: `${at}:${Deno.env.get("PATH")}`, SLURM_JOB_ID: "42", ...env },
        stdin: "null",
        stderr: "null",
      }).spawn();
      if (signal) {
        await until("the start", () => Deno.stat(`${at}/started`).catch(() => null));
        child.kill(signal);
      }
      const { code } = await child.status;
      return [code, existing([`${at}/queued`]).map((path) => Deno.readTextFileSync(path)).join("")];
    };
    const again = "requeue 42\n";
    for (const code of [0, exitCodes.badInput]) {
      assertEquals(await run({ LEAVES: `${code}` }), [
        code,
        "",
      ]);
    }
    for (const code of [exitCodes.again, 2, 137]) {
      assertEquals(await run({ LEAVES: `${code}` }), [code, again]);
      assertEquals(await run({ LEAVES: `${code}`, SLURM_RESTART_COUNT: "2" }), [code, again]);
      assertEquals(await run({ LEAVES: `${code}`, SLURM_RESTART_COUNT: "3" }), [code, ""]);
      assertEquals(await run({ LEAVES: `${code}`, TRIES: "0" }), [code, ""]);
    }
    assertEquals(
      await Deno.readTextFile(`${at}/given`),
      "batch a b.jsonl -o out --shards 8 --seed 7\n",
    );
    // Slurm's warning of the time limit, and its end of a job that is cancelled.
    assertEquals(await run({ LEAVES: "" }, "SIGUSR1"), [130, again]);
    assertEquals(await run({ LEAVES: "" }, "SIGTERM"), [130, ""]);
  },
);
