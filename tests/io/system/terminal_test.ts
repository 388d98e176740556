/** Messages that can't be written, or whose names hold commands to a terminal. */
import { assertEquals } from "@std/assert";

const module = new URL("../../../io/system/terminal.ts", import.meta.url).href;

/** Runs a script with bash's redirections. */
async function script(code: string, redirection: string) {
  const url = `data:text/typescript,${
    encodeURIComponent(`import { print, say } from "${module}";\n${code}`)
  }`;
  const { code: status, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", `"$1" run -q --no-check "$2" ${redirection}`, "bash", Deno.execPath(), url],
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { status, stdout: text(stdout), stderr: text(stderr) };
}

const ignore = Deno.build.os !== "linux";

Deno.test({ name: "say() goes on where standard error is full or closed", ignore }, async () => {
  for (const redirection of ["2>/dev/full", "2>&-"]) {
    const { status, stdout } = await script(`say("x"); await print("done");`, redirection);
    assertEquals([status, stdout], [0, "done"], redirection);
  }
});

Deno.test({ name: "print() leaves out what a reader who left won't read", ignore }, async () => {
  const long = `await print("x".repeat(1 << 20)); say("still here");`;
  const { stderr } = await script(long, "| true");
  assertEquals(stderr, "still here\n");
  const full = `await print("x").catch((error) => say(error.name + " " + error.message));`;
  assertEquals(
    (await script(full, ">/dev/full")).stderr,
    "RunError standard output can't be written: No space left on device\n",
  );
});

Deno.test({ name: "say() shows what would command a terminal as codes", ignore }, async () => {
  const { stderr } = await script(`say("a\\x1b[31m\\u009b\\rb\\tc\\u2028");`, "");
  assertEquals(stderr, "a\\u001b[31m\\u009b\\u000db\tc\\u2028\n");
});
