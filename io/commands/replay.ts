/** `replay`: answers a recording unit by unit and writes the response, its text, and what happened. */
import { fileURLToPath } from "node:url";
import { openConfig } from "../../engine/checkpoint.ts";
import type { SolverName } from "../../engine/config.ts";
import { InputError } from "../../engine/errors.ts";
import {
  openCheckpoint,
  openSession,
  type SessionInfo,
  type SessionOptions,
} from "../../engine/mod.ts";
import { Interrupt, interruptedCode } from "../interrupt.ts";
import { type CommandSpec, helpText, type Option, type Parsed, parseOptions } from "../options.ts";
import { Outputs } from "../output_file.ts";
import { type OpenedSession, type References, replayFile } from "../replay_file.ts";
import { report } from "../report.ts";

export const summary = "answer a recording: picture, voice and text, unit by unit";

const solvers = ["euler", "midpoint", "heun", "ab2"] as const satisfies readonly SolverName[];

const spec = {
  name: "replay",
  summary,
  usage: "INPUT -o OUTPUT [options]",
  options: {
    output: {
      kind: "text",
      value: "FILE",
      short: "o",
      help: "response: .mkv, .mp4, .mov, .webm; or .wav, .y4m (one medium, no FFmpeg)",
    },
    model: { kind: "text", value: "DIR", help: "checkpoint (engine/models/nano)" },
    seed: { kind: "whole", min: 0, max: 2 ** 53 - 1, help: "seed of all noise and sampling (0)" },
    steps: { kind: "whole", min: 1, max: 1000, help: "solver steps (the checkpoint's)" },
    solver: { kind: "choice", choices: solvers, help: "solver (the checkpoint's)" },
    guidance: {
      kind: "number",
      value: "X",
      min: 0,
      max: 100,
      help: "classifier-free guidance, 1: none (the checkpoint's)",
    },
    shift: {
      kind: "number",
      value: "X",
      min: 0.01,
      max: 100,
      help: "time shift (the checkpoint's)",
    },
    temperature: { kind: "number", value: "X", min: 0, max: 100, help: "of text; 0: greedy (0)" },
    "top-k": { kind: "whole", min: 0, max: 2 ** 31 - 1, help: "likeliest tokens kept, 0: all (0)" },
    "top-p": { kind: "number", value: "P", min: 1e-6, max: 1, help: "probability kept (1)" },
    prompt: { kind: "text", value: "TEXT", help: "system prompt" },
    persona: { kind: "text", value: "IMAGE", help: "what the agent looks like" },
    voice: { kind: "text", value: "AUDIO", help: "what the agent sounds like (4 s are used)" },
    "user-text": {
      kind: "text",
      value: "FILE",
      help: 'what the user types, a line each: {"at": seconds, "text": "..."}',
    },
    schedule: { kind: "choice", choices: ["paper", "eager"], help: "when y_k leaves (paper)" },
    placement: {
      kind: "choice",
      choices: ["auto", "split", "fused"],
      help: "roles on two adapters or one (auto)",
    },
    thinker: { kind: "text", value: "SPEC", help: "adapter, see 'adapters'" },
    performer: { kind: "text", value: "SPEC", help: "adapter, see 'adapters'" },
    precision: { kind: "choice", choices: ["auto", "f32", "f16"], help: "of storage (auto)" },
    "history-units": { kind: "whole", min: 1, help: "units of history (the checkpoint's)" },
    units: { kind: "whole", min: 1, help: "answer the first N units only" },
    events: { kind: "text", value: "FILE", help: "what happened, as JSON lines" },
    "side-by-side": { kind: "text", value: "FILE", help: "user and agent in one picture" },
    ffmpeg: { kind: "text", value: "PATH", help: "FFmpeg (FFMPEG_BIN, ffmpeg-static, PATH)" },
    force: { kind: "flag", help: "replace outputs that exist" },
    quiet: { kind: "flag", help: "say nothing but errors" },
    json: { kind: "flag", help: "summary as JSON on standard output" },
  },
  examples: [
    "deno task replay talk.mp4 -o answer.mkv --seed 7 --side-by-side both.mkv",
    'deno task replay question.wav -o answer.wav --prompt "You are brief." --events events.jsonl',
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

/** The command's options. */
export type Options = Parsed<typeof spec.options>["options"];

/**
 * Runs the command.
 *
 * @param open Opens the session; tests bring their own.
 * @returns The exit code: 0, 3 (recording cut off), 130 (interrupted).
 */
export async function run(args: string[], open = openModel): Promise<number> {
  const { options, operands, help } = parseOptions(spec, args);
  if (help) {
    await Deno.stdout.write(new TextEncoder().encode(helpText(spec)));
    return 0;
  }
  const [input, surplus] = operands;
  if (input === undefined) throw new InputError("replay needs a recording: replay INPUT -o OUTPUT");
  if (surplus !== undefined) {
    throw new InputError(`replay takes one recording, '${surplus}' is one too many`);
  }
  if (options.output === undefined) {
    throw new InputError("replay needs -o FILE, the response to write");
  }

  const model = options.model ?? await ownModel();
  const config = await openConfig(model);
  const given = Object.entries(options).filter(([, value]) =>
    value !== undefined && value !== false
  );
  const inputs = [input, options.persona, options.voice, options["user-text"]];
  const outputs = new Outputs(inputs.filter((path) => path !== undefined), options.force);
  using interrupt = new Interrupt(() => {
    outputs.discard().finally(() => Deno.exit(interruptedCode));
  });
  try {
    const { exitCode, summary } = await replayFile(
      {
        input,
        output: options.output,
        model,
        config,
        quiet: options.quiet,
        events: options.events,
        sideBySide: options["side-by-side"],
        ffmpeg: options.ffmpeg,
        userText: options["user-text"],
        persona: options.persona,
        voice: options.voice,
        units: options.units,
        options: Object.fromEntries(given),
      },
      outputs,
      (references) => open(model, options, references),
      interrupt.signal,
    );
    if (summary === null) return exitCode;
    await outputs.commit();
    if (!options.quiet) await Deno.stderr.write(new TextEncoder().encode(report(summary)));
    if (options.json) {
      await Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(summary)}\n`));
    }
    return exitCode;
  } finally {
    await outputs.discard();
  }
}

/** The checkpoint that comes with the program. */
async function ownModel(): Promise<string> {
  const path = fileURLToPath(new URL("../../engine/models/nano", import.meta.url));
  try {
    await Deno.stat(`${path}/config.json`);
    return path;
  } catch {
    throw new InputError(
      `there is no checkpoint in ${path}: give --model DIR, or make one with ` +
        `'init --preset nano --seed 0 -o ${path}'`,
    );
  }
}

async function openModel(
  model: string,
  options: Options,
  references: References,
): Promise<OpenedSession> {
  const checkpoint = await openCheckpoint(model);
  const session = await openSession(checkpoint, { ...sessionOptions(options), ...references });
  const { info } = session;
  return { session, info, line: describe(info), checkpointDigest: checkpoint.digest };
}

/** What was given; the session knows the rest. */
function sessionOptions(options: Options): SessionOptions {
  const given = <T extends object>(values: { [K in keyof T]: T[K] | undefined }): T =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
  return given<SessionOptions>({
    seed: options.seed,
    solver: given({
      name: options.solver,
      steps: options.steps,
      shift: options.shift,
      guidance: options.guidance,
    }),
    sampling: given({
      temperature: options.temperature,
      topK: options["top-k"],
      topP: options["top-p"],
    }),
    schedule: options.schedule,
    placement: options.placement,
    thinker: options.thinker,
    performer: options.performer,
    precision: options.precision,
    historyUnits: options["history-units"],
    prompt: options.prompt,
  });
}

function describe(info: SessionInfo): string {
  const { placement, thinker, performer, storage, parameters, tokensPerUnit, settings } = info;
  const { solver, schedule, seed } = settings;
  const where = placement === "fused"
    ? `both roles on ${thinker.adapter}`
    : `thinker on ${thinker.adapter}, performer on ${performer.adapter}`;
  const count = parameters < 1e9
    ? `${(parameters / 1e6).toFixed(1)} million`
    : `${(parameters / 1e9).toFixed(2)} billion`;
  return `${where}; ${count} parameters in ${storage}, ${tokensPerUnit} tokens a unit; ` +
    `${solver.name}, ${solver.steps} steps, schedule ${schedule}, seed ${seed}`;
}
