/** `replay`: answers a recording unit by unit and writes the response, its text, and what happened. */
import { InputError } from "../../engine/config/errors.ts";
import { type CommandSpec, helpText, type Option, parseOptions } from "../cli/options.ts";
import { FileEnds } from "../ends/file_ends.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { streamShapes } from "../media/stream_shape.ts";
import { chooseTracks, trackOptions } from "../media/tracks.ts";
import { openModel } from "../run/open_model.ts";
import { startRun } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { InspectedRun } from "../inspect/inspected_run.ts";
import { report } from "../run/report.ts";
import { run as runEnds } from "../run/run.ts";
import { prepareRun, runOptions } from "../run/run_options.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { Outputs } from "../system/output_file.ts";
import { print, tell } from "../system/terminal.ts";

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
    "side-by-side": { kind: "text", value: "FILE", help: "user and agent in one picture" },
    ...runOptions,
    json: { kind: "flag", help: "summary as JSON on standard output" },
  },
  examples: [
    "wanstream replay talk.mp4 -o answer.mkv --seed 7 --side-by-side both.mkv",
    'wanstream replay question.wav -o answer.wav --prompt "You are brief." --events events.jsonl',
    "wanstream replay two_speakers.wav -o answer.mkv --audio-channel left",
    "wanstream replay talk.mp4 -o answer.mkv --inspect page.html",
    "wanstream replay talk.mp4 -o answer.mkv --save-session saved",
    "wanstream replay talk.mp4 -o answer.mkv --resume saved",
    "wanstream replay talk.mp4 -o other.mkv --resume saved --fork other --seed 8",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

/**
 * Runs the command.
 *
 * @param openWith Opens the session; tests bring their own.
 * @returns The exit code: 0, 3 (recording cut off), 130 (interrupted).
 */
export async function run(args: string[], openWith = openModel): Promise<number> {
  const started = startRun("replay", ...args);
  const { options: asked, operands, help } = parseOptions(spec, args);
  if (help) {
    await print(helpText(spec));
    return 0;
  }
  const [input, surplus] = operands;
  if (input === undefined) throw new InputError("replay needs a recording: replay INPUT -o OUTPUT");
  if (input === "-") {
    throw new InputError(
      "replay -: reads a recording, a file: 'stream' reads what comes through a pipe " +
        "('ffmpeg -i - -f nut - | wanstream stream')",
    );
  }
  if (surplus !== undefined) {
    throw new InputError(`replay takes one recording, '${surplus}' is one too many`);
  }
  if (asked.output === undefined) {
    throw new InputError("replay needs -o FILE, the response to write");
  }

  const { request, options, open } = await prepareRun(asked, "replay", openWith, started);
  await using saved = request.saved;
  const references = [options.persona, options.voice, options["user-text"]];
  const inputs = [input, ...references].filter((path) => path !== undefined);
  const outputs = new Outputs(inputs, options.force);
  using interrupt = new Interrupt(() => {
    outputs.discard().finally(() => Deno.exit(interruptedCode));
  });
  const { signal } = interrupt;
  const { events, "side-by-side": sideBySide, quiet } = options;
  try {
    const ends = await FileEnds.claim({
      ...{ input, output: asked.output, events, sideBySide, references, quiet, signal },
      ...streamShapes(request.config),
      tracks: chooseTracks(options),
      firstUnit: saved?.firstUnit ?? 0,
      ffmpeg: ffmpegFinder(options.ffmpeg),
    }, outputs);
    const page = await InspectedRun.claim(options, request, outputs, ends.ffmpeg);
    const { exitCode, summary, provenance } = await runEnds(request, ends, open, signal);
    if (summary === null || provenance === null) return exitCode;
    const isWhole = await page?.write(summary, quiet) ?? true;
    await outputs.commit();
    if (!quiet) tell(report(summary));
    if (options.json) {
      const { type: _, run, ...figures } = summary;
      await printResult("replay/1", { ...provenance, run }, figures);
    }
    return isWhole ? exitCode : exitCode || 3;
  } finally {
    await outputs.discard();
  }
}
