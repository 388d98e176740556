/**
 * A stream answered while it arrives: from a pipe into a pipe, unit by unit. What was complete in unit
 * k has left before unit k + 2 is read, and nothing more is read than is answered: a reader that stops
 * stops the whole pipeline.
 */
import { Captions, webVttCue, webVttHead } from "../media/captions.ts";
import type { HeaderEvent, SummaryEvent } from "../pace/events.ts";
import { summaryEvent } from "../pace/events.ts";
import { ReaderGone } from "../ends/endpoints.ts";
import { aborted, interruptedCode } from "../system/interrupt.ts";
import type { FfmpegFinder } from "../ends/observe.ts";
import { Pacer, wallClock } from "../pace/pace.ts";
import { type MediaSource, ObservationReader } from "../media/observation_reader.ts";
import { Progress } from "../cli/progress.ts";
import { replay, type ReplaySession } from "../pace/replay.ts";
import { ReplayLog } from "./replay_log.ts";
import {
  beforeAbort,
  header,
  introduce,
  mended,
  type OpenedSession,
  readReferences,
  type References,
  type RunRequest,
} from "./run_model.ts";
import { say } from "../system/terminal.ts";
import { defaultName } from "../system/session_folder.ts";
import { streamShapes } from "../media/stream_shape.ts";
import type { SavedStream } from "../saved/saved_stream.ts";
import type { LiveFiles, StreamOutput } from "../ends/stream_output.ts";

/** What comes in, once it is known what it is. */
export interface StreamInput {
  source: MediaSource;
  facts: HeaderEvent["input"];
}

/** The ends of one stream. */
export interface StreamEnds {
  /** Waits for the input's head. */
  input(): Promise<StreamInput>;
  output: StreamOutput;
  files: LiveFiles;
  ffmpeg: FfmpegFinder;
}

/** What is asked for. */
export interface StreamRequest extends RunRequest {
  /** Where the session is saved; null: nowhere. */
  saved: SavedStream | null;
}

/** How a stream ended. */
export interface StreamResult {
  /** 0, 3 (the input broke off) or 130 (interrupted). */
  exitCode: number;
  summary: SummaryEvent | null;
}

/** A stream that pauses while the other goes on for this long is taken to be silent, in ms. */
const longestPause = 2000;

/** How long an interrupted stream waits for a reader that doesn't read, in ms. */
const patience = 1000;

/**
 * Runs a stream to its end.
 *
 * @param open Opens the session, while the input's head is awaited.
 * @throws InputError for bad input, RunError when FFmpeg or the output fails.
 */
export async function runStream(
  request: StreamRequest,
  ends: StreamEnds,
  open: (references: References) => Promise<OpenedSession>,
  signal: AbortSignal,
): Promise<StreamResult> {
  const { config, quiet, pacing, schedule, saved } = request;
  const unitMs = config.unit_ms;
  const { user, agent } = streamShapes(config);
  const { userText, references } = await readReferences(request, agent, ends.ffmpeg);
  const opening = open(references);
  let observations: ObservationReader | null = null;
  let session: ReplaySession | null = null;
  const log = new ReplayLog(ends.files.events?.write ?? null, unitMs);
  const progress = new Progress(null, quiet);
  try {
    const input = await Promise.race([ends.input(), aborted(signal).then(() => null)]);
    if (input) {
      const pause = Math.ceil(longestPause / unitMs);
      observations = new ObservationReader(input.source, user, undefined, pause);
    }
    const opened = input && await beforeAbort(opening, signal);
    if (!input || !observations || !opened) {
      say("interrupted before the first unit");
      return { exitCode: interruptedCode, summary: null };
    }
    session = opened.session;
    const live = session;
    const firstUnit = saved?.firstUnit ?? 0;
    const { placement } = opened.info;
    if (!quiet) introduce(request, opened);
    await saved?.begin();
    await ends.files.text?.write(webVttHead);
    const captions = new Captions(unitMs);
    await log.add(header(request, opened, input.facts, user, agent));

    const reader = observations;
    // Nobody can wait for what no longer comes, nor for a reader that no longer reads.
    aborted(signal).then(() => reader.close());
    const pacer = new Pacer(
      { unitMs, ...pacing, schedule, placement, arriving: true, firstUnit },
      wallClock(signal),
    );
    let firstBytes = NaN;
    let gone = false;
    let wallMs = 0;
    const leaves = async (writing: Promise<number>) => {
      try {
        firstBytes = await orImpatient(writing, signal);
      } catch (error) {
        await reader.close();
        throw error;
      }
    };
    try {
      await leaves(ends.output.start());
      wallMs = await replay({
        session: pacer.session(saved ? saved.session(live) : live),
        observations: pacer.observations(reader),
        firstUnit,
        userText,
        maxUnits: request.units ?? Infinity,
        signal,
        write: (response) => leaves(ends.output.write(response)),
        async written(response, times) {
          const felt = pacer.felt(response.unit, times, firstBytes);
          for (const event of await log.addRecoveries(live.recoveries)) {
            if (!quiet) say(mended(event));
          }
          await log.addUnit(response, times, felt);
          const caption = captions.add(response);
          if (caption) await ends.files.text?.write(webVttCue(caption));
          saved?.written(response.unit);
          const { units } = log.totals;
          progress.update(units, (units * unitMs) / 1000);
        },
      });
      await leaves(ends.output.end());
      const last = captions.end();
      if (last) await ends.files.text?.write(webVttCue(last));
    } catch (error) {
      if (!(error instanceof ReaderGone)) throw error;
      gone = true;
    }
    progress.clear();
    await saved?.end();

    const cut = gone || signal.aborted ? null : reader.cut;
    const ended = signal.aborted
      ? "interrupted"
      : gone
      ? "reader gone"
      : cut
      ? "cut off"
      : "complete";
    const { units } = log.totals;
    const seconds = ((units * unitMs) / 1000).toFixed(2);
    if (cut) {
      say(
        `${input.facts.path}: the stream breaks off at ${
          cut.seconds.toFixed(2)
        } s (${cut.reason}): ` +
          `${units} whole units before that (${seconds} s) were answered`,
      );
    }
    if (ended === "interrupted") say(`interrupted after ${units} units (${seconds} s)`);
    if (ended !== "complete" && saved && !quiet) {
      const { folder, name } = saved.where;
      const session = name === defaultName ? "" : ` --session ${name}`;
      say(`--resume ${folder.path}${session} goes on after the last save, with what arrives then`);
    }
    const summary = units === 0 ? null : summaryEvent({
      ended,
      totals: log.totals,
      unitMs,
      wallMs,
      cut,
      outputs: ends.output.names,
    });
    if (summary) await log.add(summary);
    const exitCode = signal.aborted ? interruptedCode : cut ? 3 : 0;
    return { exitCode, summary };
  } finally {
    progress.clear();
    await observations?.close();
    // If it isn't open yet, it is closed when it is.
    if (session) await session.close();
    else opening.then(({ session }) => session.close(), () => {});
    log.close();
    await ends.files.text?.close();
    await ends.files.events?.close();
  }
}

/** What is being written; when the run is interrupted, only for a moment longer. */
function orImpatient(writing: Promise<number>, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const start = () => {
      timer = setTimeout(() => reject(new ReaderGone("it doesn't read")), patience);
    };
    if (signal.aborted) start();
    else signal.addEventListener("abort", start);
    writing.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", start);
    });
  });
}
