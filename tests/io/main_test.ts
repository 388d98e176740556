import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { folderTest, names } from "./media.ts";

/** Runs main.ts with the permissions that `deno task replay` has. */
async function main(args: string[], permissions = ["--allow-read", "--allow-write"]) {
  const program = new URL("../../main.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", "--no-check", ...permissions, program, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("main lists its commands, and each command its options with an example", async () => {
  const { code, stdout } = await main(["--help"]);
  assertEquals(code, 0);
  const commands = [...stdout.matchAll(/^ {2}(\w+) +\S/gm)].map((match) => match[1] ?? "");
  assertEquals(commands, [
    "replay",
    "stream",
    "batch",
    "adapters",
    "inspect",
    "init",
    "bench",
    "eval",
    "compare",
    "export",
    "codec",
    "figures",
    "score",
  ]);
  for (const command of commands) {
    const help = await main([command, "--help"]);
    assertEquals([help.code, help.stderr], [0, ""], command);
    assertStringIncludes(help.stdout, `Usage: wanstream ${command}`);
    assert(/Examples?:\n {2}wanstream /.test(help.stdout), command);
  }
});

folderTest("main answers bad input with one line on stderr and exit code 2", async (folder) => {
  const cases: [args: string[], message: string][] = [
    [["replya"], "unknown command replya: did you mean replay?"],
    [["toString"], "unknown command toString: known are replay"],
    [["replay", "--sede", "1"], "unknown option --sede: did you mean --seed?"],
    [
      ["replay", `${folder}/none.mp4`, "-o", `${folder}/out.mkv`],
      "none.mp4: there is no such file",
    ],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await main(args);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertStringIncludes(stderr, message);
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
  }
  assertEquals(names(folder), []);
  const { code, stdout } = await main([]);
  assertEquals(code, 2);
  assertStringIncludes(stdout, "Usage: wanstream COMMAND");
});

folderTest("main says which permission is missing", async (folder) => {
  await Deno.writeTextFile(`${folder}/in.mp4`, "x");
  const args = ["replay", `${folder}/in.mp4`, "-o", `${folder}/out.mkv`];
  const write = await main(args, ["--allow-read"]);
  assertEquals(write.code, 2);
  assertStringIncludes(write.stderr, "--allow-write");
  const run = await main(args, ["--allow-read", "--allow-write"]);
  assertEquals(run.code, 2);
  assertStringIncludes(run.stderr, "--allow-run");
  assertEquals(names(folder), ["in.mp4"]);
});

Deno.test({
  name: "main says in one line that too few files may be opened, for every command",
  ignore: Deno.build.os === "windows",
  async fn() {
    const program = new URL("../../main.ts", import.meta.url).pathname;
    for (const command of ["adapters", "inspect x", "replay x -o y.wav", "stream", "eval"]) {
      const line =
        `ulimit -n 40; exec '${Deno.execPath()}' run -q -A --no-check '${program}' ${command}`;
      const { code, stderr } = await new Deno.Command("sh", { args: ["-c", line], stdin: "null" })
        .output();
      const said = new TextDecoder().decode(stderr);
      assertEquals([code, said.trimEnd().split("\n").length], [3, 1], said);
      assertStringIncludes(said, "(Too many open files), a run may need");
    }
  },
});
