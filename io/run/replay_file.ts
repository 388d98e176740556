/**
 * A replay from file to file: opens the input, claims the outputs, runs the session, and finishes what
 * it wrote however the run ends: complete, cut off, or interrupted.
 */
import { InputError } from "../../engine/config/errors.ts";
import type { SessionInfo } from "../../engine/mod.ts";
import type { Observation } from "../../engine/checkpoint/unit.ts";
import { fileDigest, type SummaryEvent, summaryEvent } from "../pace/events.ts";
import type { Spoken } from "../media/captions.ts";
import { OutputError } from "../system/errors.ts";
import { type Ffmpeg, findFfmpeg } from "../ffmpeg/ffmpeg.ts";
import { interruptedCode } from "../system/interrupt.ts";
import { type InputFacts, openInput } from "../ends/observe.ts";
import type { Outputs } from "../system/output_file.ts";
import { Pacer, wallClock } from "../pace/pace.ts";
import type { ObservationReader } from "../media/observation_reader.ts";
import { Progress } from "../cli/progress.ts";
import { replay, type ReplaySession } from "../pace/replay.ts";
import { completeResponse, explain, finishOutputs, sayKept } from "./replay_end.ts";
import { claimFiles, type ReplayRequest } from "./replay_request.ts";
import { ReplayLog } from "./replay_log.ts";
import { needsFfmpeg, openResponse, type ResponseWriter } from "./respond.ts";
import {
  beforeAbort,
  header,
  introduce,
  mended,
  type OpenedSession,
  readReferences,
  type References,
} from "./run_model.ts";
import { say } from "../system/terminal.ts";
import type { SavedRun } from "../saved/saved_run.ts";
import { type StreamShape, streamShapes } from "../media/stream_shape.ts";
import type { UserText } from "../media/user_text.ts";

/** How a replay ended. */
export interface ReplayResult {
  /** 0, 3 (the recording, or the writing of an output, broke off) or 130 (interrupted). */
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
  const files = await claimFiles(request, outputs);
  let found: Promise<Ffmpeg> | null = null;
  const ffmpeg = () => found ??= findFfmpeg(request.ffmpeg);
  if (needsFfmpeg(request.output) || files.sideBySide) await ffmpeg();

  const { userText, references } = await readReferences(request, agent, ffmpeg);
  const { observations, facts } = await openInput(request.input, user, ffmpeg, request.tracks);
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
    const first = saved?.firstUnit ?? 0;
    const response = writer;
    const write: ResponseWriter["write"] = (answer) => {
      const unit = answer.unit - first;
      if (files.sideBySide && answer.text !== "") spoken.push({ unit, text: answer.text });
      return response.write({ ...answer, unit });
    };
    if (saved) await repeat(saved, agent, write, log);
    const worked = await work({
      request,
      facts,
      session,
      placement: opened.info.placement,
      observations,
      userText,
      write,
      log,
      signal,
    });
    const { units } = log.totals;
    const ended = signal.aborted ? "interrupted" : observations.cut ? "cut off" : "complete";
    if (!worked.broken) explain(request, observations, ended, units, userText);
    if (units === 0 && !worked.broken) return { exitCode: exitCodes[ended], summary: null };
    const { kept, broken } = await completeResponse(writer, units, worked.broken);
    writer = null;
    if (broken) sayKept(request, broken, kept, units);
    const paths = await finishOutputs(request, files, outputs, kept, spoken, ffmpeg, agent, signal);
    const missing = files.sideBySide && !("side_by_side" in paths);
    const outcome = signal.aborted ? "interrupted" : broken || missing ? "output broke off" : ended;
    const summary = summaryEvent({
      ended: outcome,
      totals: log.totals,
      unitMs: config.unit_ms,
      wallMs: worked.wallMs,
      cut: broken
        ? { seconds: (kept * config.unit_ms) / 1000, reason: broken.message }
        : observations.cut,
      outputs: paths,
    });
    await log.add(summary);
    return { exitCode: exitCodes[outcome], summary };
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

const exitCodes = {
  complete: 0,
  "cut off": 3,
  "output broke off": 3,
  interrupted: interruptedCode,
};

/** Runs the session with a progress bar. @returns Milliseconds of work, and why the response couldn't
 * be written to its end. */
async function work(run: {
  request: ReplayRequest;
  facts: InputFacts;
  session: ReplaySession;
  placement: SessionInfo["placement"];
  observations: ObservationReader;
  userText: UserText;
  write: ResponseWriter["write"];
  log: ReplayLog;
  signal: AbortSignal;
}): Promise<{ wallMs: number; broken: OutputError | null }> {
  const { request, session, write, log } = run;
  const { pacing, schedule, saved } = request;
  const unitMs = request.config.unit_ms;
  const firstUnit = saved?.nextUnit ?? 0;
  const pacer = new Pacer(
    { unitMs, ...pacing, schedule, placement: run.placement, arriving: false, firstUnit },
    wallClock(run.signal),
  );
  const progress = new Progress(total(run.facts, request.units, unitMs), request.quiet);
  const earlierMs = saved?.earlierMs ?? 0;
  const start = performance.now();
  try {
    const wallMs = await replay({
      ...run,
      session: pacer.session(saved ? saved.session(session) : session),
      observations: pacer.observations(from(firstUnit, request, run.observations)),
      firstUnit,
      maxUnits: request.units ?? Infinity,
      async write(response) {
        await Promise.all([saved?.write(response), write(response)]);
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
    return { wallMs: wallMs + earlierMs, broken: null };
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    return { wallMs: performance.now() - start + earlierMs, broken: error };
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
  write: ResponseWriter["write"],
  log: ReplayLog,
): Promise<void> {
  for await (const earlier of saved.earlier(agent)) {
    if ("recovery" in earlier) {
      await log.add(earlier.recovery);
      continue;
    }
    await write(earlier.response);
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

/** Seconds of stream that will come, when the input's header says its length. */
function total(facts: InputFacts, units: number | undefined, unitMs: number): number | null {
  const limit = units === undefined ? Infinity : (units * unitMs) / 1000;
  if (facts.seconds === null) return limit < Infinity ? limit : null;
  return Math.min(facts.seconds, limit);
}
