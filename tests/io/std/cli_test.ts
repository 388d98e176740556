import { assertEquals } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { parseArgs as fromMod } from "@std/cli";

Deno.test("parseArgs() is the same from both entry points", () => {
  assertEquals(fromMod, parseArgs);
});

Deno.test("parseArgs() guesses numbers, text and flags when nothing is declared", () => {
  assertEquals(
    parseArgs(["a", "--x", "1", "--hex=0xff", "-n5", "--name", "b", "-v", "--", "--c"]),
    {
      x: 1,
      hex: 255,
      n: 5,
      name: "b",
      v: true,
      _: ["a", "--c"],
    },
  );
});

Deno.test("parseArgs() keeps declared text as it is, numbers too", () => {
  const args = parseArgs(["007", "--seed", "0012", "-o", "3.mkv"], {
    string: ["seed", "output", "_"],
    alias: { output: "o" },
  });
  assertEquals(args, { seed: "0012", output: "3.mkv", o: "3.mkv", _: ["007"] });
  const seed: string | undefined = args.seed;
  const output: string | undefined = args.o;
  assertEquals([seed, output], ["0012", "3.mkv"]);
});

Deno.test("parseArgs() gives text without a value as empty", () => {
  assertEquals(parseArgs(["--seed", "--quiet"], { string: ["seed"], boolean: ["quiet"] }), {
    seed: "",
    quiet: true,
    _: [],
  });
});

Deno.test("parseArgs() takes a value that begins with a dash only after an equals sign", () => {
  const options = { string: ["shift"] } as const;
  assertEquals(parseArgs(["--shift=-1"], options).shift, "-1");
  assertEquals(parseArgs(["--shift", "-1"], options).shift, "");
});

Deno.test("parseArgs() sets declared flags to false and lets nothing follow them", () => {
  const args = parseArgs(["--force", "in.mp4", "--json=false"], {
    boolean: ["force", "quiet", "json"],
  });
  assertEquals(args, { force: true, quiet: false, json: false, _: ["in.mp4"] });
  const quiet: boolean = args.quiet;
  assertEquals(quiet, false);
  assertEquals(parseArgs(["--force", "true"], { boolean: ["force"] }), { force: true, _: [] });
});

Deno.test("parseArgs() negates only what may be negated", () => {
  const options = { boolean: ["tune"], negatable: ["tune"], default: { tune: true } } as const;
  assertEquals(parseArgs([], options).tune, true);
  assertEquals(parseArgs(["--no-tune"], options).tune, false);
  assertEquals(parseArgs(["--no-other"]), { "no-other": true, _: [] });
});

Deno.test("parseArgs() collects what is declared so and otherwise takes the last", () => {
  const args = parseArgs(["-p", "a", "--prompt", "b", "--one", "1", "--one", "2"], {
    string: ["prompt", "one", "none"],
    collect: ["prompt", "none"],
    alias: { prompt: ["p"] },
  });
  assertEquals(args, { prompt: ["a", "b"], p: ["a", "b"], one: "2", none: [], _: [] });
  const prompt: string[] = args.prompt;
  assertEquals(prompt.length, 2);
});

Deno.test("parseArgs() tells of undeclared options and arguments", () => {
  const seen: unknown[] = [];
  const args = parseArgs(["in", "--bad", "x", "-z", "--also=1", "--good", "g"], {
    string: ["good"],
    unknown: (arg, key, value) => {
      seen.push([arg, key, value]);
      return key === undefined;
    },
  });
  assertEquals(seen, [
    ["in", undefined, undefined],
    ["--bad", "bad", "x"],
    ["-z", "z", true],
    ["--also=1", "also", "1"],
  ]);
  assertEquals(args, { good: "g", _: ["in"] });
});

Deno.test("parseArgs() stops at the first argument when told to", () => {
  assertEquals(parseArgs(["--a", "1", "go", "--b"], { stopEarly: true }), {
    a: 1,
    _: ["go", "--b"],
  });
});

Deno.test("parseArgs() puts what follows a double dash into its own list when told to", () => {
  const args = parseArgs(["x", "--", "--y"], { "--": true });
  assertEquals(args, { _: ["x"], "--": ["--y"] });
});

Deno.test("parseArgs() walks groups of letters", () => {
  assertEquals(parseArgs(["-abc", "v"]), { a: true, b: true, c: "v", _: [] });
  assertEquals(parseArgs(["-xyz/some/path"]), { x: true, y: true, z: "/some/path", _: [] });
  assertEquals(parseArgs(["-f=abc=def", "-"]), { f: "abc=def", _: ["-"] });
  assertEquals(parseArgs(["-f-", "-n", "-"]), { f: "-", n: "-", _: [] });
});

Deno.test("parseArgs() gives defaults under every name", () => {
  const args = parseArgs([], {
    string: ["model"],
    alias: { model: "m" },
    default: { model: "nano" },
  });
  assertEquals(args, { model: "nano", m: "nano", _: [] });
  const model: string = args.model;
  assertEquals(model, "nano");
});
