import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { nearest } from "../../../engine/config/nearest.ts";
import { type CommandSpec, helpText, type Option, parseOptions } from "../../../io/cli/options.ts";

const spec = {
  name: "try",
  summary: "tries things",
  usage: "INPUT -o OUTPUT",
  options: {
    output: { kind: "text", value: "FILE", short: "o", help: "where to" },
    "history-units": { kind: "whole", min: 1, max: 100, help: "how much" },
    shift: { kind: "number", min: 0.01, help: "time shift" },
    schedule: { kind: "choice", choices: ["paper", "eager"], help: "when" },
    force: { kind: "flag", help: "overwrite" },
  },
  examples: ["deno task try a.mp4 -o b.mkv"],
} as const satisfies CommandSpec<Record<string, Option>>;

const parse = (...args: string[]) => parseOptions(spec, args);

function message(...args: string[]): string {
  return assertThrows(() => parse(...args), InputError).message;
}

Deno.test("parseOptions() reads values, flags and operands in any order", () => {
  const { options, operands, help } = parse(
    "in.mp4",
    "-o",
    "out.mkv",
    "--history-units=7",
    "--force",
    "--shift",
    "2.5e-1",
    "--schedule",
    "eager",
    "007",
  );
  assertEquals(options, {
    output: "out.mkv",
    "history-units": 7,
    shift: 0.25,
    schedule: "eager",
    force: true,
  });
  assertEquals(operands, ["in.mp4", "007"]);
  assertEquals(help, false);
});

Deno.test("parseOptions() leaves what is not given undefined, and flags false", () => {
  const { options } = parse();
  assertEquals(options.output, undefined);
  assertEquals(options["history-units"], undefined);
  assertEquals(options.force, false);
});

Deno.test("parseOptions() takes everything after -- as operands", () => {
  assertEquals(parse("--", "--force", "-x.mp4").operands, ["--force", "-x.mp4"]);
});

Deno.test("parseOptions() says how a name that begins with a dash is given, and refuses bytes", () => {
  const hint = "a file of the name -dash.wav is given as ./-dash.wav";
  assertStringIncludes(message("-dash.wav", "-o", "o.wav"), `unknown option -dash.wav: --help`);
  assertStringIncludes(message("-dash.wav", "-o", "o.wav"), hint);
  assertEquals(message("-o", "-dash.wav"), `--output needs a value: --output FILE; ${hint}`);
  assertEquals(parse("-o=./-o.wav").options.output, "./-o.wav");
  assertEquals(parse("-oo.wav", "./-dash.wav").operands, ["./-dash.wav"]);
  assertStringIncludes(message("n\ufffd.wav"), "'n\ufffd.wav' is not UTF-8: rename the file");
});

Deno.test("parseOptions() says which range a number left", () => {
  assertEquals(message("--history-units", "0"), "--history-units: 0 is too few: 1 or more");
  assertEquals(message("--history-units", "-3"), "--history-units: -3 is too few: 1 or more");
  assertEquals(message("--history-units", "101"), "--history-units: 101 is too many: 100 or less");
  assertEquals(message("--shift", "-.5"), "--shift: -.5 is too low: 0.01 or more");
});

Deno.test("parseOptions() refuses what is no number", () => {
  for (const text of ["1.5", "two", "0x10", "1e400", "NaN", "Infinity"]) {
    assertStringIncludes(message("--history-units", text), `--history-units: '${text}'`);
  }
  assertEquals(message("--shift", "1e999"), "--shift: '1e999' is not a number");
});

Deno.test("parseOptions() refuses a missing value, a value twice, and a word that is no choice", () => {
  assertEquals(message("a.mp4", "-o"), "--output needs a value: --output FILE");
  assertEquals(message("--output", "--force"), "--output needs a value: --output FILE");
  assertEquals(message("-o", "a", "--output", "b"), "--output is given 2 times: give it once");
  assertEquals(message("--schedule", "fast"), "--schedule: 'fast' is none of paper, eager");
});

Deno.test("parseOptions() answers an unknown option with the nearest known name", () => {
  assertEquals(
    message("--histroy-units", "3"),
    "unknown option --histroy-units: did you mean --history-units?",
  );
  assertEquals(message("--schedul=eager"), "unknown option --schedul: did you mean --schedule?");
  assertEquals(message("--zzz"), "unknown option --zzz: --help lists the known ones");
  assertEquals(message("-x"), "unknown option -x: --help lists the known ones");
});

Deno.test("parseOptions() checks nothing when help is asked for", () => {
  assert(parse("--help", "--history-units", "0").help);
  assert(parse("-h", "--nonsense").help);
});

Deno.test("nearest() counts a swap of neighbours as one edit, and gives up on strangers", () => {
  assertEquals(nearest("--fcore", ["--force", "--score"]), "--score");
  assertEquals(nearest("--froce", ["--force", "--other"]), "--force");
  assertEquals(nearest("replya", ["replay", "inspect"]), "replay");
  assertEquals(nearest("bench", ["replay", "inspect"]), undefined);
});

Deno.test("helpText() shows usage, every option and the examples", () => {
  const text = helpText(spec);
  for (
    const part of [
      "Usage: wanstream try INPUT -o OUTPUT",
      "-o, --output FILE",
      "--history-units N",
      "--schedule paper|eager",
      "deno task try a.mp4 -o b.mkv",
    ]
  ) assertStringIncludes(text, part);
});
