/** Outputs: what they do to links, modes, FIFOs and devices, to other runs and to what killed runs left. */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { Outputs, writeOutput } from "../../../io/system/output_file.ts";

const posix = Deno.build.os !== "windows";

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

async function run(program: string, ...args: string[]): Promise<void> {
  const { success } = await new Deno.Command(program, { args }).output();
  assert(success, program);
}

Deno.test(
  { name: "Outputs keeps the mode of the file that it replaces", ignore: !posix },
  () =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/a.txt`, "old");
      await Deno.chmod(`${folder}/a.txt`, 0o640);
      await writeOutput(`${folder}/a.txt`, "new");
      assertEquals(await Deno.readTextFile(`${folder}/a.txt`), "new");
      assertEquals((await Deno.stat(`${folder}/a.txt`)).mode! & 0o777, 0o640);
      assertEquals(names(folder), ["a.txt"]);
    }),
);

Deno.test(
  { name: "Outputs replaces what a link leads to, not the link", ignore: !posix },
  () =>
    inFolder(async (folder) => {
      await Deno.mkdir(`${folder}/there`);
      await Deno.symlink("there/a.txt", `${folder}/link`);
      for (const text of ["first", "second"]) {
        await writeOutput(`${folder}/link`, text);
        assert((await Deno.lstat(`${folder}/link`)).isSymlink);
        assertEquals(await Deno.readTextFile(`${folder}/there/a.txt`), text);
      }
      assertEquals(names(`${folder}/there`), ["a.txt"]);
      await Deno.symlink("circle", `${folder}/circle`);
      await assertRejects(
        () => writeOutput(`${folder}/circle`, "x"),
        InputError,
        "from link to link",
      );
    }),
);

Deno.test(
  { name: "Outputs writes a FIFO and a device in place", ignore: !posix },
  () =>
    inFolder(async (folder) => {
      const fifo = `${folder}/fifo`;
      await run("mkfifo", fifo);
      const read = Deno.readTextFile(fifo);
      await writeOutput(fifo, "through the pipe");
      assertEquals(await read, "through the pipe");
      assert((await Deno.lstat(fifo)).isFifo);
      await writeOutput("/dev/null", "nothing");
      assert((await Deno.lstat("/dev/null")).isCharDevice);
      assertEquals(names(folder), ["fifo"]);
    }),
);

Deno.test("Outputs tells the second of two runs that write one file, at its start", () =>
  inFolder(async (folder) => {
    const path = `${folder}/a.mkv`;
    const [first, second] = [new Outputs([], false), new Outputs([], true)];
    const file = await first.claim(path);
    await assertRejects(() => second.claim(path), InputError, "another run is writing it");
    await second.discard();
    await Deno.writeTextFile(file.temporary, "answer");
    await first.commit();
    assertEquals(names(folder), ["a.mkv"]);
    await assertRejects(() => new Outputs([], false).claim(path), InputError, "--force");
  }));

Deno.test("Outputs keeps a finished file beside one that came meanwhile", () =>
  inFolder(async (folder) => {
    const outputs = new Outputs([], false);
    const file = await outputs.claim(`${folder}/a.txt`);
    await Deno.writeTextFile(file.temporary, "ours");
    await Deno.writeTextFile(`${folder}/a.txt`, "theirs");
    const error = await assertRejects(() => outputs.commit());
    assert(error instanceof Error && error.message.includes("another run has written it"));
    assertEquals(await Deno.readTextFile(`${folder}/a.txt`), "theirs");
    const [kept = ""] = names(folder).filter((name) => name !== "a.txt");
    assertEquals(await Deno.readTextFile(`${folder}/${kept}`), "ours");
    assert(error.message.includes(kept));
  }));

Deno.test("Outputs removes what killed runs left, and nothing of a run that goes on", () =>
  inFolder(async (folder) => {
    const left = [".wanstream-0123456789abcdef.mkv", ".wanstream-0123456789abcdef-01234567.ass"];
    for (const name of [...left, ".wanstream-notes.txt", "mine.mkv"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "x");
    }
    const going = new Outputs([], false);
    const file = await going.claim(`${folder}/going.mkv`);
    await writeOutput(`${folder}/other.txt`, "done");
    assertEquals(await Deno.readTextFile(file.temporary), "");
    await going.discard();
    assertEquals(names(folder), [".wanstream-notes.txt", "mine.mkv", "other.txt"]);
  }));

Deno.test("Outputs of many runs that start at once in one folder all come to be", () =>
  inFolder(async (folder) => {
    const many = Array.from({ length: 60 }, (_, i) => `${i}.txt`);
    // Each of them was killed before, so that all find the others' locks.
    for (const name of many) {
      const stem = createHash("sha256").update(name).digest("hex").slice(0, 16);
      await Deno.writeTextFile(`${folder}/.wanstream-${stem}.lock`, "");
    }
    await Promise.all(many.map((name) => writeOutput(`${folder}/${name}`, "done")));
    assertEquals(names(folder), many.sort());
  }));

Deno.test({
  name: "Outputs says in one line why a place under /dev can't be used",
  ignore: Deno.build.os !== "linux",
}, async () => {
  const module = new URL("../../../io/system/output_file.ts", import.meta.url).href;
  const script = `import { writeOutput } from "${module}";
    writeOutput("/dev/shm/wanstream", "x").catch((error) => console.log(error.message));`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-q",
      "--no-prompt",
      "--allow-read",
      "--allow-write",
      `data:text/typescript,${encodeURIComponent(script)}`,
    ],
  }).output();
  const message = new TextDecoder().decode(stdout).trim();
  assert(message.startsWith("/dev/shm/wanstream: "), message);
  assert(message.includes("FIFO"), message);
  assert(!message.includes("\n"));
});
