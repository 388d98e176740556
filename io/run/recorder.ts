/** Responses into files or a stream, for scripts: pictures, sound, text and events, synchronized. */
import type { Response, SessionInfo } from "../../engine/mod.ts";
import { givenResponse } from "../../engine/checkpoint/given.ts";
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { readOptions, type RulesOf } from "../../engine/config/option_rules.ts";
import type { Output } from "../ends/ends.ts";
import type { ByteSink } from "../ends/endpoints.ts";
import { claimFiles, FileOutput } from "../ends/file_output.ts";
import { LiveOutput } from "../ends/live_ends.ts";
import { type Layout, layoutOf, layoutRules } from "../ends/observations.ts";
import { checkExtension, needsFfmpeg, responseExtensions } from "../ends/response_file.ts";
import { checkInput } from "../ends/observe.ts";
import { drawSideBySide } from "../ends/side_by_side.ts";
import { muxedOutput, openLiveFiles } from "../ends/stream_output.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { mediaExtensions } from "../ffmpeg/ffmpeg_encode.ts";
import { defaultTracks } from "../media/tracks.ts";
import type { Spoken } from "../media/captions.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import {
  eventLine,
  headerEvent,
  type InputFacts,
  type SummaryEvent,
  unitEvent,
} from "../pace/events.ts";
import type { PerceivedLatency } from "../pace/pace.ts";
import { provenanceOf, runFacts, startRun } from "../provenance/provenance.ts";
import { madeBy } from "./made_by.ts";
import { RunTotals } from "../pace/totals.ts";
import { localPath } from "../../engine/config/local_path.ts";
import { Outputs } from "../system/output_file.ts";

/** What a recorder is told. */
export type RecorderOptions = Layout & {
  /** Where events go, one JSON object a line. */
  events?: string | URL;
  /** For their header: the session's `info`, and the `facts` of what it answers. */
  info?: SessionInfo;
  input?: InputFacts | null;
  /** Replace files that exist (false). */
  force?: boolean;
  /** FFmpeg's path (FFMPEG_BIN, ffmpeg-static, PATH). */
  ffmpeg?: string;
};

const rules = {
  ...layoutRules,
  events: { kind: "any" },
  info: { kind: "object" },
  input: { kind: "any" },
  force: { kind: "flag" },
  ffmpeg: { kind: "text" },
} as const satisfies RulesOf<RecorderOptions>;

const sideBySideRules = {
  force: { kind: "flag" },
  ffmpeg: { kind: "text" },
  signal: { kind: "signal" },
} as const;

/** Where responses are written, in order. Made by `recorder`. */
export class Recorder implements AsyncDisposable {
  /** What the agent said, unit by unit, from the first that was written on. */
  readonly spoken: Spoken[] = [];
  /** The responses' shape. */
  readonly shape: StreamShape;
  /** The file; null: a stream. */
  readonly path: string | null;
  readonly #output: Output;
  readonly #outputs: Pick<Outputs, "commit" | "discard">;
  readonly #totals = new RunTotals();
  readonly #run = startRun("script");
  readonly #start = performance.now();
  #broken: Error | null = null;
  #isOpen = true;

  /** Made by `recorder`. @param outputs The files that get their names at the end. */
  constructor(
    output: Output,
    outputs: Pick<Outputs, "commit" | "discard">,
    shape: StreamShape,
    path: string | null,
  ) {
    this.#output = output;
    this.#outputs = outputs;
    this.shape = shape;
    this.path = path;
  }

  /** Units that were written. */
  get units(): number {
    return this.#totals.units;
  }

  /**
   * Appends a response, and its event. The first one begins the recording, whatever its unit is.
   *
   * @param perceived What the user had of it, for the event; heard in time where that isn't given.
   * @throws InputError when it isn't a unit of the layout, RunError when it can't be written.
   */
  async write(
    response: Response,
    perceived: PerceivedLatency = { observation: "given", heard: true, interactionMs: null },
  ): Promise<void> {
    if (!this.#isOpen) throw new Error("the recorder is closed: nothing can be written any more");
    // Copies: what is written last is kept until the end.
    const { audio, frames } = givenResponse(response, this.shape);
    const fields = new Fields(response, "response");
    if (typeof response.text !== "string") throw fields.error("text", "text");
    fields.object("stages").number("total", [0, Infinity]);
    const { text, stages } = response;
    const before = performance.now();
    try {
      await this.#output.write({ unit: this.units, text, audio, frames });
      if (text !== "") this.spoken.push({ unit: this.units, text });
      const write = performance.now() - before;
      const times = { ...stages, write, total: stages.total + write };
      const event = unitEvent(response, times, perceived, this.shape.unitMs);
      this.#totals.add(event);
      await this.#output.writeEvent(eventLine(event));
    } catch (error) {
      this.#broken ??= error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }

  /**
   * Finishes what was written: the files get their names now, all of them. Where nothing was written
   * there are none.
   *
   * @returns What the units add up to; null: there was none, or it was closed before.
   * @throws RunError when a file can't be finished.
   */
  async close(): Promise<SummaryEvent | null> {
    if (!this.#isOpen) return null;
    this.#isOpen = false;
    try {
      const finished = await this.#output.finish(this.units, this.#broken);
      if (finished === null) return null;
      const { unitMs } = this.shape;
      const wallMs = performance.now() - this.#start;
      const summary = this.#totals.summary({
        ...finished,
        unitMs,
        wallMs,
        run: runFacts(this.#run),
      });
      await this.#output.writeEvent(eventLine(summary));
      await this.#output.close();
      await this.#outputs.commit();
      return summary;
    } finally {
      await this.#discard();
    }
  }

  /** Gives up: of the files nothing is left, a stream breaks off. */
  async abort(): Promise<void> {
    this.#isOpen = false;
    await this.#discard();
  }

  async #discard(): Promise<void> {
    await this.#output.close();
    await this.#outputs.discard();
  }

  /** The same as `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Opens a recorder of responses. A file is whole when it appears, as with `replay -o`: its ending says
 * what it is (.mkv, .mp4, .mov, .webm; .wav or .y4m, one medium without FFmpeg), and the text stands
 * beside it as WebVTT. A stream gets Matroska, not encoded, each unit at once, as from `stream`.
 *
 * @throws InputError when a file exists, or can't be written.
 */
export async function recorder(
  to: string | URL | WritableStream<Uint8Array>,
  options: RecorderOptions,
): Promise<Recorder> {
  options = readOptions(options, rules);
  const layout = layoutOf(options);
  const { agent } = layout;
  const { info, input = null, force = false } = options;
  if (info) { for (const key of ["settings", "thinker"]) new Fields(info, "info").object(key); }
  if (input) localPath(input.path, "input.path");
  const events = options.events === undefined ? undefined : localPath(options.events);
  const ffmpeg = ffmpegFinder(options.ffmpeg);
  const files = new Outputs(input ? [input.path] : [], force);
  let outputs: Pick<Outputs, "commit" | "discard"> = files;
  let path: string | null = null;
  let output: Output;
  try {
    if (to instanceof WritableStream) {
      const sink = byteSink(to);
      outputs = { commit: () => Promise.resolve(), discard: sink.abort };
      const grown = await openLiveFiles({ events }, force, ffmpeg);
      output = new LiveOutput({ output: muxedOutput(sink, agent), files: grown }, agent.unitMs);
    } else {
      path = localPath(to);
      checkExtension("recorder", path, responseExtensions);
      const paths = { output: path, events, agent, firstUnit: 0, ffmpeg };
      const opened = new FileOutput(paths, await claimFiles(paths, files));
      await opened.openFiles();
      output = opened;
    }
    if (info !== undefined || events !== undefined) {
      const checkpoint = info
        ? { path: null, digest: info.checkpointDigest, randomWeightsSeed: null }
        : null;
      const made = await provenanceOf(startRun("script"), {
        settings: { weights: info?.weights, ...info?.settings },
        seeds: { noise: info?.settings.seed ?? null },
        checkpoint,
        places: info,
      });
      output.tag(madeBy(made, "(from a script)", input));
      await output.writeEvent(eventLine(headerEvent(layout, made, input, info ?? {})));
    }
    await output.begin();
    return new Recorder(output, outputs, agent, path);
  } catch (error) {
    await outputs.discard();
    throw error;
  }
}

/**
 * Puts a recording and a closed recorder's file beside each other in one picture: `user` left, the
 * recorder's agent right, voices left and right, the agent's text below, both on one clock.
 *
 * @param output Ends in .mkv, .mp4, .mov or .webm.
 * @param user What the agent answered, or the file of the one that it talked with.
 * @returns null, or why the text isn't in the picture but in a subtitle track.
 * @throws InputError when a file can't be read or exists already, RunError when FFmpeg fails.
 */
export async function sideBySide(
  output: string | URL,
  user: string | URL,
  recorded: Pick<Recorder, "path" | "shape" | "units" | "spoken">,
  options: { force?: boolean; ffmpeg?: string; signal?: AbortSignal } = {},
): Promise<string | null> {
  const { force = false, ffmpeg, signal } = readOptions(options, sideBySideRules);
  if (typeof recorded?.path !== "string" && recorded?.path !== null) {
    throw new InputError(
      `side by side: the recorder is ${valueText(recorded)}; it may be what recorder() gives`,
    );
  }
  const { path, shape: agent, units, spoken } = recorded;
  const [input, to] = [localPath(user), localPath(output)];
  checkExtension("side by side", to, mediaExtensions);
  if (path === null || !needsFfmpeg(path)) {
    throw new InputError(
      `side by side: needs a recorder's file with picture and sound (${
        mediaExtensions.join(", ")
      }), ` +
        `not ${path ?? "a stream"}`,
    );
  }
  for (const file of [input, path]) await checkInput(file);
  const outputs = new Outputs([input, path], force);
  try {
    const found = await ffmpegFinder(ffmpeg)();
    const file = await outputs.claim(to);
    const task = { input, tracks: defaultTracks, response: path, output: file };
    const end = signal ?? new AbortController().signal;
    const why = await drawSideBySide(found, { ...task, agent, units, spoken }, end);
    signal?.throwIfAborted();
    await outputs.commit();
    return why;
  } finally {
    await outputs.discard();
  }
}

function byteSink(stream: WritableStream<Uint8Array>): ByteSink & { abort(): Promise<void> } {
  if (stream.locked) throw new InputError("the stream is being written already: give a new one");
  const writer = stream.getWriter();
  return {
    name: "the stream",
    async write(bytes) {
      await writer.write(bytes);
      return performance.now();
    },
    close: () => writer.close(),
    // After its end this does nothing.
    abort: () => writer.abort().catch(() => {}),
  };
}
