/**
 * A replay from file to file: opens the input, claims the outputs, runs the session, and finishes what
 * it wrote however the run ends: complete, cut off, or interrupted.
 */
import { InputError } from "../engine/errors.ts";
import type { SessionInfo } from "../engine/mod.ts";
import type { Observation } from "../engine/unit.ts";
import { fileDigest, type SummaryEvent, summaryEvent } from "./events.ts";
import type { Spoken } from "./captions.ts";
import { type Ffmpeg, findFfmpeg } from "./ffmpeg.ts";
import { mediaExtensions } from "./ffmpeg_encode.ts";
import { interruptedCode } from "./interrupt.ts";
import { checkInput, type InputFacts, openInput } from "./observe.ts";
import type { OutputFile, Outputs } from "./output_file.ts";
import { Pacer, wallClock } from "./pace.ts";
import type { ObservationReader } from "./pair.ts";
import { Progress } from "./progress.ts";
import { replay, type ReplaySession } from "./replay.ts";
import { ReplayLog } from "./replay_log.ts";
import {
  captionsPath,
  checkExtension,
  needsFfmpeg,
  openResponse,
  responseExtensions,
  type ResponseWriter,
} from "./respond.ts";
import {
  beforeAbort,
  header,
  introduce,
  mended,
  type OpenedSession,
  readReferences,
  type References,
  type RunRequest,
  say,
} from "./run_model.ts";
import type { SavedRun } from "./saved_run.ts";
import { sideBySide } from "./side_by_side.ts";
import { type StreamShape, streamShapes } from "./stream_shape.ts";
import type { UserText } from "./user_text.ts";

/** What is asked for: files and limits. */
export interface ReplayRequest extends RunRequest {
  input: string;
  output: string;
  sideBySide?: string | undefined;
  /** Where the run is saved; null: nowhere. */
  saved: SavedRun | null;
}

/** How a replay ended. */
export interface ReplayResult {
  /** 0, 3 (the recording broke off) or 130 (interrupted). */
  exitCode: number;
  /** Null when there was not one unit: then nothing was written. */
  summary: SummaryEvent | null;
}

/**
 * Replays a recording into files. The caller commits or discards `outputs`.
 *
 * @param open Opens the session; called when input and outputs are known to be good.
 * @throws InputError for bad input, RunError when FFmpeg fails.
 */
export async function replayFile(
  request: ReplayRequest,
  outputs: Outputs,
  open: (references: References) => Promise<OpenedSession>,
  signal: AbortSignal,
): Promise<ReplayResult> {
  const { config, quiet, saved } = request;
  const { user, agent } = streamShapes(config);
  checkUnits(request);
  const files = await claim(request, outputs);
  let found: Promise<Ffmpeg> | null = null;
  const ffmpeg = () => found ??= findFfmpeg(request.ffmpeg);
  if (needsFfmpeg(request.output) || files.sideBySide) await ffmpeg();

  const { userText, references } = await readReferences(request, agent, ffmpeg);
  const { observations, facts } = await openInput(request.input, user, ffmpeg);
  const log = new ReplayLog(files.events, config.unit_ms);
  const spoken: Spoken[] = [];
  let writer: ResponseWriter | null = null;
  let session: ReplaySession | null = null;
  try {
    const sha256 = await fileDigest(facts.path);
    saved?.checkInput({ path: facts.path, sha256 });
    writer = await openResponse(files.response, files.captions, agent, ffmpeg);
    const opened = await beforeAbort(open(references), signal);
    if (opened === null) {
      say("interrupted before the first unit: nothing was written");
      return { exitCode: interruptedCode, summary: null };
    }
    session = opened.session;
    if (!quiet) introduce(request, opened);
    await saved?.begin(agent);
    await log.add(header(request, opened, { ...facts, sha256 }, user, agent));

    // A fork's output begins at its own first unit.
    const { write, ...ends } = writer;
    const first = saved?.firstUnit ?? 0;
    writer = {
      ...ends,
      write(response) {
        const unit = response.unit - first;
        if (files.sideBySide && response.text !== "") spoken.push({ unit, text: response.text });
        return write({ ...response, unit });
      },
    };
    if (saved) await repeat(saved, agent, writer, log);
    const wallMs = await work({
      request,
      facts,
      session,
      placement: opened.info.placement,
      observations,
      userText,
      writer,
      log,
      signal,
    });
    const { units } = log.totals;
    const ended = signal.aborted ? "interrupted" : observations.cut ? "cut off" : "complete";
    explain(request, observations, ended, units, userText);
    const exitCode = { complete: 0, "cut off": 3, interrupted: interruptedCode }[ended];
    if (units === 0) return { exitCode, summary: null };
    await writer.finish();
    writer = null;
    const paths = await finishOutputs(request, files, outputs, log, spoken, ffmpeg, agent, signal);
    const summary = summaryEvent({
      ended,
      totals: log.totals,
      unitMs: config.unit_ms,
      wallMs,
      cut: observations.cut,
      outputs: paths,
    });
    await log.add(summary);
    return { exitCode: signal.aborted ? interruptedCode : exitCode, summary };
  } catch (error) {
    if (saved?.howToGoOn && !(error instanceof InputError)) say(saved.howToGoOn);
    throw error;
  } finally {
    await writer?.abort();
    await session?.close();
    await observations.close();
    log.close();
  }
}

/** Runs the session with a progress bar. @returns Milliseconds of work. */
async function work(run: {
  request: ReplayRequest;
  facts: InputFacts;
  session: ReplaySession;
  placement: SessionInfo["placement"];
  observations: ObservationReader;
  userText: UserText;
  writer: ResponseWriter;
  log: ReplayLog;
  signal: AbortSignal;
}): Promise<number> {
  const { request, session, writer, log } = run;
  const { pacing, schedule, saved } = request;
  const unitMs = request.config.unit_ms;
  const firstUnit = saved?.nextUnit ?? 0;
  const pacer = new Pacer(
    { unitMs, ...pacing, schedule, placement: run.placement, arriving: false, firstUnit },
    wallClock(run.signal),
  );
  const progress = new Progress(total(run.facts, request.units, unitMs), request.quiet);
  try {
    const wallMs = await replay({
      ...run,
      session: pacer.session(saved ? saved.session(session) : session),
      observations: pacer.observations(from(firstUnit, request, run.observations)),
      firstUnit,
      maxUnits: request.units ?? Infinity,
      async write(response) {
        await Promise.all([saved?.write(response), writer.write(response)]);
      },
      async written(response, times) {
        const felt = pacer.felt(response.unit, times, performance.now());
        for (const event of await log.addRecoveries(session.recoveries)) {
          await saved?.keepRecovery(event);
          if (!request.quiet) say(mended(event));
        }
        const event = await log.addUnit(response, times, felt);
        await saved?.keepUnit({ event, times, felt });
        const { units } = log.totals;
        progress.update(units, (units * unitMs) / 1000);
      },
    });
    return wallMs + (saved?.earlierMs ?? 0);
  } finally {
    progress.clear();
  }
}

/** Refuses an end that was passed already. */
function checkUnits({ units, saved, sideBySide: both }: ReplayRequest): void {
  if (!saved) return;
  if (units !== undefined && units < saved.nextUnit + (saved.fork ? 1 : 0)) {
    throw new InputError(
      `--units: ${units}, but the session was saved after ${saved.nextUnit} units: give more`,
    );
  }
  if (both !== undefined && saved.firstUnit > 0) {
    throw new InputError(
      `--side-by-side: a fork's response begins at unit ${saved.firstUnit} of the recording: ` +
        "leave it out",
    );
  }
}

/** Writes again what was answered before the run was resumed. */
async function repeat(
  saved: SavedRun,
  agent: StreamShape,
  writer: ResponseWriter,
  log: ReplayLog,
): Promise<void> {
  for await (const earlier of saved.earlier(agent)) {
    if ("recovery" in earlier) {
      await log.add(earlier.recovery);
      continue;
    }
    await writer.write(earlier.response);
    await log.addEarlier(earlier.unit);
  }
}

/** The observations from a unit on. @throws InputError when a fork's input ends before that. */
async function* from(
  firstUnit: number,
  { input, saved }: ReplayRequest,
  observations: AsyncIterable<Observation>,
): AsyncGenerator<Observation> {
  let unit = 0;
  for await (const observation of observations) {
    if (unit++ >= firstUnit) yield observation;
  }
  if (saved?.fork && unit <= firstUnit) {
    throw new InputError(
      `${input}: has ${unit} units, but the fork begins after ${firstUnit}: give a longer recording`,
    );
  }
}

interface Files {
  response: OutputFile;
  captions: OutputFile;
  events: OutputFile | null;
  sideBySide: OutputFile | null;
}

/** Checks names and claims all outputs, before any work. */
async function claim(request: ReplayRequest, outputs: Outputs): Promise<Files> {
  const { output, events, sideBySide: both } = request;
  checkExtension("-o", output, responseExtensions);
  if (both !== undefined) {
    checkExtension("--side-by-side", both, mediaExtensions);
    if (!needsFfmpeg(output)) {
      throw new InputError(
        `--side-by-side needs a response with picture and sound, '${output}' holds one of them: ` +
          `let -o end in ${mediaExtensions.join(", ")}`,
      );
    }
  }
  for (const path of [request.input, request.persona, request.voice, request.userText]) {
    if (path !== undefined) await checkInput(path);
  }
  return {
    response: await outputs.claim(output),
    captions: await outputs.claim(captionsPath(output)),
    events: events === undefined ? null : await outputs.claim(events),
    sideBySide: both === undefined ? null : await outputs.claim(both),
  };
}

/** Seconds of stream that will come, when the input's header says its length. */
function total(facts: InputFacts, units: number | undefined, unitMs: number): number | null {
  const limit = units === undefined ? Infinity : (units * unitMs) / 1000;
  if (facts.seconds === null) return limit < Infinity ? limit : null;
  return Math.min(facts.seconds, limit);
}

/** Says what isn't as it should be. */
function explain(
  request: ReplayRequest,
  observations: ObservationReader,
  ended: SummaryEvent["ended"],
  units: number,
  userText: UserText,
): void {
  const seconds = ((units * request.config.unit_ms) / 1000).toFixed(2);
  const answered = units === 1 ? "1 whole unit" : `${units || "no"} whole units`;
  if (ended === "cut off" && observations.cut) {
    const at = observations.cut.seconds.toFixed(2);
    say(
      `${request.input}: the recording breaks off at ${at} s (${observations.cut.reason}): ` +
        `${answered} before that (${seconds} s) ${units === 1 ? "was" : "were"} answered` +
        (units === 0 ? "; nothing was written" : ""),
    );
  } else if (ended === "interrupted") {
    say(
      `interrupted after ${answered} (${seconds} s)` +
        (units === 0 ? ": nothing was written" : ": finishing what is there"),
    );
  }
  const { saved } = request;
  if (saved?.howToGoOn && ended === "interrupted") say(saved.howToGoOn);
  const end = (saved?.firstUnit ?? 0) + units;
  const unread = [...userText.keys()].filter((unit) => unit >= end).length;
  if (unread > 0 && ended !== "interrupted") {
    say(`${request.userText}: ${unread} of its times lie after the last unit (${seconds} s)`);
  }
}

/** Makes the side-by-side picture, if asked for. @returns The outputs by kind. */
async function finishOutputs(
  request: ReplayRequest,
  files: Files,
  outputs: Outputs,
  log: ReplayLog,
  spoken: readonly Spoken[],
  ffmpeg: () => Promise<Ffmpeg>,
  agent: StreamShape,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const paths: Record<string, string> = {
    response: files.response.path,
    text: files.captions.path,
    ...(files.events ? { events: files.events.path } : {}),
  };
  if (files.sideBySide === null) return paths;
  if (!signal.aborted) {
    if (!request.quiet) say(`putting both ends side by side in ${files.sideBySide.path}`);
    const missing = await sideBySide(await ffmpeg(), {
      input: request.input,
      response: files.response.temporary,
      output: files.sideBySide,
      agent,
      units: log.totals.units,
      spoken,
    }, signal);
    if (missing !== null && !signal.aborted) {
      say(`the agent's text is a subtitle track, not part of the picture: ${missing}`);
    }
  }
  // Interrupted: half of it would be of no use.
  if (signal.aborted) await outputs.drop(files.sideBySide);
  else paths["side_by_side"] = files.sideBySide.path;
  return paths;
}
