import { assert, assertEquals, assertMatch } from "@std/assert";
import { driverOf } from "../../../io/provenance/driver.ts";
import { othersOf } from "../../../io/provenance/load.ts";
import { provenanceOf, startRun } from "../../../io/provenance/provenance.ts";
import { revisionOf } from "../../../io/provenance/repository.ts";
import { resultText } from "../../../io/provenance/result.ts";
import { onPath } from "../../../scripts/programs.ts";
import { tinyConfig } from "../../engine/support.ts";
import { withCheckpoint } from "../../engine/tiny_checkpoint.ts";
import { assertSchema } from "../schemas.ts";
import { folderTest } from "../media.ts";

const git = onPath("git");

function gitTest(name: string, fn: (folder: string) => Promise<void>): void {
  if (git) folderTest(name, fn);
  else Deno.test({ name: `${name} (skipped: no git)`, ignore: true, fn: () => {} });
}

async function runGit(folder: string, ...args: string[]): Promise<string> {
  const own = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"];
  const { success, stdout, stderr } = await new Deno.Command("git", {
    args: ["-C", folder, ...own, ...args],
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  assert(success, text(stderr));
  return text(stdout);
}

gitTest(
  "revisionOf() knows the commit, and whether files differ from it, as git does",
  async (at) => {
    const commit = (message: string) => runGit(at, "commit", "-qam", message);
    const write = (name: string, text: string) => Deno.writeTextFile(`${at}/${name}`, text);
    const isDirty = async (folder = at) => {
      const { commit, dirty } = await revisionOf(folder);
      assertEquals(commit, await runGit(folder, "rev-parse", "HEAD"));
      const status = await runGit(folder, "status", "--porcelain", "--untracked-files=no");
      assertEquals(dirty, status !== "", status);
      return dirty;
    };
    assertEquals(await revisionOf(at), { commit: null, dirty: null });
    await runGit(at, "init", "-q", "-b", "main");
    await Deno.mkdir(`${at}/deep`);
    await write("a", "one");
    await write("deep/a file with a long name and spaces", "two");
    await runGit(at, "add", "-A");
    await commit("first");
    assertEquals(await isDirty(), false);
    // The same length: only the content tells.
    await write("a", "two");
    assertEquals(await isDirty(), true);
    await runGit(at, "add", "-A");
    assertEquals(await isDirty(), true);
    await commit("second");
    assertEquals(await isDirty(), false);
    await Deno.utime(`${at}/a`, 1, 1);
    assertEquals(await isDirty(), false);
    await write("new", "not tracked");
    assertEquals(await isDirty(), false);
    await Deno.remove(`${at}/a`);
    assertEquals(await isDirty(), true);
    await runGit(at, "checkout", "-q", "HEAD~1", "--force");
    assertEquals(await isDirty(), false);
    await runGit(at, "worktree", "add", "-q", `${at}/tree`, "main");
    await runGit(at, "pack-refs", "--all");
    assertEquals(await isDirty(`${at}/tree`), false);
  },
);

Deno.test("a provenance has every key, and null for what isn't known", async () => {
  const run = startRun("bench", "tick", "--report", "a file's.html");
  const keys = (block: object) => Object.keys(block).sort();
  const known = await provenanceOf(run, {
    settings: { seed: 1 },
    seeds: { noise: 1 },
    checkpoint: { path: "m", digest: "d", randomWeightsSeed: null },
    places: {
      placement: "split",
      thinker: { adapter: "a", spec: "no such driver", kernels: { x: "1", y: "2" } },
      performers: [{ adapter: "b", spec: "default", kernels: { y: "2", x: "1" } }],
    },
  });
  const unknown = await provenanceOf(run);
  assertEquals(keys(known), keys(unknown));
  assertEquals(keys(known.run), ["date", "load", "seconds"]);
  assertEquals(known.command, `wanstream bench tick --report 'a file'\\''s.html'`);
  assertEquals(unknown.seeds, { noise: null, recordings: null, network: null });
  const [thinker, performer] = known.roles ?? [];
  assertEquals([thinker?.role, thinker?.driver, performer?.role], ["thinker", null, "performer"]);
  // The order in which kernels were chosen doesn't count.
  assertEquals(thinker?.kernels, performer?.kernels);
  assertMatch(thinker?.kernels.digest ?? "", /^[0-9a-f]{64}$/);
  const text = resultText("bench-tick/1", known, { tick: undefined, other: NaN });
  const { schema, tick, other } = JSON.parse(text);
  assertEquals([schema, tick, other], ["wanstream/bench-tick/1", null, null]);
});

Deno.test("what the system may not be asked is null, the rest is there, and nothing is prompted for", () =>
  withCheckpoint(tinyConfig(), async (folder) => {
    const inspected = async (permission: string) => {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-q", "--no-check", permission, "main.ts", "inspect", folder, "--json"],
        cwd: new URL("../../../", import.meta.url).pathname,
        stdin: "null",
      }).output();
      assertEquals(code, 0, new TextDecoder().decode(stderr));
      const result = JSON.parse(new TextDecoder().decode(stdout));
      assertSchema(result);
      return result.provenance;
    };
    const [free, bound] = await Promise.all(["-P=read", "--allow-read"].map(inspected));
    assert(free.machine.cpu.length > 0 && free.machine.memoryBytes > 0);
    assertEquals([bound.machine.cpu, bound.machine.memoryBytes], [null, null]);
    assertEquals(bound.run.load, { before: null, after: null, others: null });
    for (const { checkpoint, machine, commit } of [free, bound]) {
      assertMatch(checkpoint.digest, /^[0-9a-f]{64}$/);
      assertMatch(commit ?? "0000000", /^[0-9a-f]+$/);
      assert(machine.os.startsWith(Deno.build.os) && machine.cores > 0);
    }
  }));

folderTest(
  "driverOf() finds the driver of an adapter, and its version in the library",
  async (at) => {
    const files = ["lvp_icd", "nvidia_icd"].map((name) => `${at}/${name}.json`);
    const [lvp = "", nvidia = ""] = files;
    const write = (file: string, library: string) =>
      Deno.writeTextFile(file, JSON.stringify({ ICD: { library_path: library } }));
    await write(lvp, `${at}/liblvp.so`);
    await write(nvidia, "./libnv.so.0");
    await Deno.writeTextFile(`${at}/liblvp.so`, "\0\0Mesa 22.3.6\0 and more");
    await Deno.writeTextFile(`${at}/libnv.so.535.104.05`, "\0");
    await Deno.symlink("libnv.so.535.104.05", `${at}/libnv.so.0`);
    const before = Deno.env.get("VK_DRIVER_FILES");
    try {
      Deno.env.set("VK_DRIVER_FILES", files.join(":"));
      const mesa = { file: lvp, version: "Mesa 22.3.6" };
      assertEquals(driverOf("default", "llvmpipe (LLVM 15)"), mesa);
      assertEquals(driverOf("lvp", "another name"), mesa);
      assertEquals(driverOf("default", "NVIDIA H200"), { file: nvidia, version: "535.104.05" });
      assertEquals(driverOf("default", "some card"), null);
      assertEquals(driverOf("no such driver", "some card"), null);
    } finally {
      if (before === undefined) Deno.env.delete("VK_DRIVER_FILES");
      else Deno.env.set("VK_DRIVER_FILES", before);
    }
  },
);

Deno.test("the load of others is what is busy and not this program's", () => {
  const at = (busy: number, own: number, whole: number) => ({ busy, own, whole, cores: 4 });
  // 10 s of wall time on 4 cores: 25 core seconds busy, 5 of them own.
  assertEquals(othersOf(at(100, 3, 1000), at(125, 8, 1040)), 2);
  // Clocks are coarse: own time may pass what is busy.
  assertEquals(othersOf(at(100, 3, 1000), at(104, 8, 1040)), 0);
  assertEquals(othersOf(at(100, 3, 1000), at(100, 3, 1000)), null);
});
