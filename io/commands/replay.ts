/** `replay`: answers a recording unit by unit and writes the response, its text, and what happened. */
import { openConfig } from "../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../engine/config/errors.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { modelOptions, openModel, ownModel } from "../run/model_options.ts";
import { choosePace, paceOptions } from "../pace/pace_options.ts";
import { type CommandSpec, helpText, type Option, parseOptions } from "../cli/options.ts";
import { Outputs } from "../system/output_file.ts";
import { replayFile } from "../run/replay_file.ts";
import { chooseTracks, trackOptions } from "../media/tracks.ts";
import { SavedRun } from "../saved/saved_run.ts";
import { chooseSaving, inMemory, savingOptions } from "../saved/saving_options.ts";
import { report } from "../run/report.ts";

export const summary = "answer a recording: picture, voice and text, unit by unit";

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
    ...trackOptions,
    ...modelOptions,
    ...paceOptions,
    units: { kind: "whole", min: 1, help: "answer the first N units only" },
    ...savingOptions,
    events: { kind: "text", value: "FILE", help: "what happened, as JSON lines" },
    "side-by-side": { kind: "text", value: "FILE", help: "user and agent in one picture" },
    ffmpeg: { kind: "text", value: "PATH", help: "FFmpeg (FFMPEG_BIN, ffmpeg-static, PATH)" },
    force: { kind: "flag", help: "replace outputs that exist" },
    quiet: { kind: "flag", help: "say nothing but errors" },
    json: { kind: "flag", help: "summary as JSON on standard output" },
  },
  examples: [
    "wanstream replay talk.mp4 -o answer.mkv --seed 7 --side-by-side both.mkv",
    'wanstream replay question.wav -o answer.wav --prompt "You are brief." --events events.jsonl',
    "wanstream replay two_speakers.wav -o answer.mkv --audio-channel left",
    "wanstream replay talk.mp4 -o answer.mkv --save-session saved",
    "wanstream replay talk.mp4 -o answer.mkv --resume saved",
    "wanstream replay talk.mp4 -o other.mkv --resume saved --fork other --seed 8",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

/**
 * Runs the command.
 *
 * @param open Opens the session; tests bring their own.
 * @returns The exit code: 0, 3 (recording cut off), 130 (interrupted).
 */
export async function run(args: string[], open = openModel): Promise<number> {
  const { options: asked, operands, help } = parseOptions(spec, args);
  if (help) {
    await Deno.stdout.write(new TextEncoder().encode(helpText(spec)));
    return 0;
  }
  const [input, surplus] = operands;
  if (input === undefined) throw new InputError("replay needs a recording: replay INPUT -o OUTPUT");
  if (surplus !== undefined) {
    throw new InputError(`replay takes one recording, '${surplus}' is one too many`);
  }
  if (asked.output === undefined) {
    throw new InputError("replay needs -o FILE, the response to write");
  }

  const output = asked.output;
  const { saving, options } = await chooseSaving(asked, "replay");
  await using saved = saving && new SavedRun(saving);
  const pacing = choosePace(options);
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
        output,
        tracks: chooseTracks(options),
        model,
        config,
        pacing,
        schedule: options.schedule ?? saved?.schedule ?? "paper",
        quiet: options.quiet,
        events: options.events,
        sideBySide: options["side-by-side"],
        ffmpeg: options.ffmpeg,
        userText: options["user-text"],
        persona: options.persona,
        voice: options.voice,
        units: options.units,
        saved,
        options: Object.fromEntries(given),
      },
      outputs,
      (references) => open(model, options, references, saved?.durability ?? inMemory),
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
