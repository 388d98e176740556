/**
 * A run from its options to its end, for recordings and for streams: opens input and session, wraps the
 * session, pumps units through it, finishes the outputs, and reports what happened.
 */
import { InputError } from "../../engine/config/errors.ts";
import type { SessionInfo } from "../../engine/mod.ts";
import type { Observation, Response } from "../../engine/checkpoint/unit.ts";
import { Progress } from "../cli/progress.ts";
import { ReaderGone } from "../ends/endpoints.ts";
import type { Ends, Input } from "../ends/ends.ts";
import { streamShapes } from "../media/stream_shape.ts";
import type { UserText } from "../media/user_text.ts";
import {
  type ClockEvent,
  type Event,
  eventLine,
  headerEvent,
  type RecoveryEvent,
  type SummaryEvent,
  unitEvent,
} from "../pace/events.ts";
import { Pacer, wallClock } from "../pace/pace.ts";
import { pump, pumpInTurn, typing, type UnitSession } from "../pace/pump.ts";
import type { SavedRun } from "../saved/saved_run.ts";
import { round } from "../pace/statistics.ts";
import { type Provenance, runFacts } from "../provenance/provenance.ts";
import { RunTotals } from "../pace/totals.ts";
import { OutputError, outputError } from "../system/errors.ts";
import { madeBy } from "./made_by.ts";
import { aborted, interruptedCode } from "../system/interrupt.ts";
import { say } from "../system/terminal.ts";
import {
  introduce,
  type Onlooker,
  type OpenedSession,
  provenance,
  readReferences,
  type References,
  type RunRequest,
} from "./run_model.ts";

/** How a run ended. */
export interface RunResult {
  exitCode: number;
  /** Null when there was not one unit. */
  summary: SummaryEvent | null;
  /** Null when the session did not open. */
  provenance: Provenance | null;
}

/** 3: the input, or the writing of an output, broke off. */
const exitCodes: Record<SummaryEvent["ended"], number> = {
  complete: 0,
  "cut off": 3,
  "output broke off": 3,
  "reader gone": 0,
  interrupted: interruptedCode,
};

/**
 * Answers what comes in at one end, at the other.
 *
 * @param open Opens the session: for a recording once input and outputs are known to be good, for a
 * stream while its head is awaited.
 * @throws InputError for bad input, RunError when FFmpeg or an output fails.
 */
export async function run(
  request: RunRequest,
  ends: Ends,
  open: (references: References) => Promise<OpenedSession>,
  signal: AbortSignal,
): Promise<RunResult> {
  const { user, agent } = streamShapes(request.config);
  const { userText, references } = await readReferences(request, agent, ends.ffmpeg);
  const coming = ends.open().then((input) => {
    request.saved?.checkInput(input.facts);
    return input;
  });
  const opening = ends.arriving ? open(references) : coming.then(() => open(references));
  let isOpen = false;
  try {
    const both = Promise.all([coming, opening]);
    const opened = await Promise.race([both, aborted(signal).then(() => null)]);
    if (opened === null) {
      if (!request.options.quiet) {
        say(`interrupted before the first unit${ends.arriving ? "" : ": nothing was written"}`);
      }
      return { exitCode: interruptedCode, summary: null, provenance: null };
    }
    isOpen = true;
    const [input, { session, info }] = opened;
    if (!request.options.quiet) introduce(request, opened[1]);
    await request.saved?.begin(agent);
    const made = await provenance(request, opened[1]);
    const command = ends.arriving ? "stream" : "replay INPUT -o OUTPUT";
    ends.tag(madeBy(made, command, input.facts));
    await tell(headerEvent({ user, agent }, made, input.facts, info), request, ends);
    return {
      ...await answer({ request, ends, input, session, info, userText, signal }),
      provenance: made,
    };
  } catch (error) {
    const hint = error instanceof InputError ? null : await request.saved?.resumeHint();
    if (hint) say(hint);
    throw error;
  } finally {
    await ends.close();
    // What isn't open yet is closed as soon as it is; a stream may never come.
    const closing = Promise.allSettled([
      coming.then(({ reader }) => reader.close()),
      opening.then(({ session }) => session.close()),
    ]);
    if (isOpen || !ends.arriving && !signal.aborted) await closing;
  }
}

/** What is open while units are answered. */
interface Work {
  request: RunRequest;
  ends: Ends;
  input: Input;
  session: UnitSession;
  info: Pick<SessionInfo, "placement">;
  userText: UserText;
  signal: AbortSignal;
}

/** Answers all units, finishes the outputs and sums up. */
async function answer(work: Work): Promise<Omit<RunResult, "provenance">> {
  const { request, ends, input: { reader, facts }, userText, signal } = work;
  const { config: { unit_ms: unitMs }, saved, options } = request;
  const totals = new RunTotals();
  if (saved) await repeatEarlier(saved, ends, totals);
  const pumped = await pumpUnits(work, totals);
  const { wallMs } = pumped;
  const broken = pumped.broken ??
    await saving(saved?.settle()).then(() => null, (error: unknown) => {
      if (error instanceof OutputError) return error;
      throw error;
    });
  const { units } = totals;
  const cut = broken || signal.aborted ? null : reader.cut;
  const answered = units === 1 ? "1 whole unit" : `${units || "no"} whole units`;
  const seconds = ((units * unitMs) / 1000).toFixed(2);
  if (cut) {
    say(
      `${facts.path}: the ${ends.arriving ? "stream" : "recording"} breaks off at ` +
        `${cut.seconds.toFixed(2)} s (${cut.reason}): ${answered} before that (${seconds} s) ` +
        `${units === 1 ? "was" : "were"} answered${units === 0 ? "; nothing was written" : ""}`,
    );
  } else if (signal.aborted && !options.quiet) {
    say(
      `interrupted after ${answered} (${seconds} s)` +
        (units === 0 ? ": nothing was written" : ": finishing what is there"),
    );
  }
  const end = (saved?.firstUnit ?? 0) + units;
  const unread = [...userText.keys()].filter((unit) => unit >= end).length;
  if (unread > 0 && !broken && !signal.aborted) {
    say(
      `${options["user-text"]}: ${unread} of its times lie after the last unit (${seconds} s)`,
    );
  }

  const finished = await ends.finish(units, broken);
  if (finished?.cut) {
    const { units: kept, cut: { seconds, reason } } = finished;
    const all = kept === units ? "all" : `the first ${kept}`;
    say(`${reason}; ${all} of ${units} answered units are kept (${seconds.toFixed(2)} s)`);
  }
  const outputs = finished?.ended ?? "complete";
  const ended = signal.aborted
    ? "interrupted"
    : outputs !== "complete"
    ? outputs
    : cut
    ? "cut off"
    : "complete";
  const canGoOn = ends.arriving
    ? ended !== "complete" && !options.quiet
    : ended === "interrupted" || finished?.cut;
  const hint = canGoOn ? await saved?.resumeHint() : null;
  if (hint) say(hint);
  if (finished === null) return { exitCode: exitCodes[ended], summary: null };
  const summary = totals.summary({
    ended,
    unitMs,
    wallMs,
    cut: finished.cut ?? cut,
    outputs: finished.outputs,
    run: runFacts(request.run),
  });
  await tell(summary, request, ends);
  return { exitCode: exitCodes[ended], summary };
}

/** Writes an event, and shows it to who looks on. */
async function tell(event: Event, { onlooker }: RunRequest, ends: Ends): Promise<void> {
  onlooker?.event(event);
  await ends.writeEvent(eventLine(event));
}

/** The observations, each shown before it is given. */
async function* watched(
  observations: AsyncIterable<Observation>,
  firstUnit: number,
  onlooker: Onlooker,
): AsyncGenerator<Observation> {
  let unit = firstUnit;
  for await (const observation of observations) {
    onlooker.observe(unit++, observation);
    yield observation;
  }
}

/** Shows a response. @returns What that took, in ms. */
function inspectMs(onlooker: Onlooker, response: Response): number {
  const start = performance.now();
  onlooker.answer(response);
  return performance.now() - start;
}

/** Writes again what was answered before the run was resumed. */
async function repeatEarlier(saved: SavedRun, ends: Ends, totals: RunTotals): Promise<void> {
  for await (const { event, media } of saved.earlier()) {
    if (media) {
      await ends.write({ ...media, unit: event.unit, text: event.text });
      totals.add(event);
    }
    await ends.writeEvent(eventLine(event));
  }
}

/**
 * Pumps the units through the session with a progress bar. Observations pass the pacer, which delays
 * them, get what is typed, and pass the saved run, which asks for a snapshot after a unit that the
 * engine was given; responses pass the pacer.
 *
 * @returns Milliseconds of work, and why the answers couldn't be written to their end.
 */
async function pumpUnits(
  { request, ends, input: { reader, facts }, session, info, userText, signal }: Work,
  totals: RunTotals,
): Promise<{ wallMs: number; broken: Error | null }> {
  const { config: { unit_ms: unitMs }, pacing, schedule, saved, onlooker, options } = request;
  const { arriving } = ends;
  const { placement } = info;
  const { quiet, units: maxUnits = Infinity } = options;
  const firstUnit = saved?.nextUnit ?? 0;
  // An output that can't be written ends the input, which may never end by itself.
  const stop = new AbortController();
  const ending = AbortSignal.any([signal, stop.signal]);
  const pacer = new Pacer(
    { unitMs, ...pacing, schedule, placement, arriving, firstUnit },
    wallClock(ending),
  );
  const units = arriving ? reader : skipUnits(reader, firstUnit, request, facts.path);
  const typed = typing(pacer.observations(units), userText, firstUnit, maxUnits);
  const seen = onlooker ? watched(typed, firstUnit, onlooker) : typed;
  const given = saved ? saved.observations(seen, session) : seen;
  const progress = new Progress(totalSeconds(facts.seconds, maxUnits, unitMs), quiet);
  // From the first observation to the last answer.
  let [start, end] = [performance.now(), NaN];
  // A recording's summary is of all of its units.
  const earlierMs = arriving ? 0 : saved?.earlierMs ?? 0;
  let recovered = 0;
  let joined = 0;
  /** Says where the input's clock stepped before this unit's end. */
  const noteJoins = async (end: number) => {
    for (const { seconds, step } of reader.joins.slice(joined)) {
      const unit = firstUnit + Math.floor((seconds * 1000) / unitMs);
      if (unit >= end) return;
      joined++;
      const event: ClockEvent = { type: "clock", unit, at: round(seconds, 3), step };
      await tell(event, request, ends);
      if (!quiet) say(clockLine(event, facts.path));
    }
  };
  async function* timed(observations: AsyncIterable<Observation>) {
    let isFirst = true;
    for await (const observation of observations) {
      if (isFirst) start = performance.now();
      isFirst = false;
      yield observation;
    }
  }
  const write = async (response: Response) => {
    const before = performance.now();
    const [firstBytes] = await Promise.all([
      ends.write(response),
      saving(saved?.write(response)),
    ]);
    end = performance.now();
    const { stages } = response;
    const ms = end - before;
    const times = { ...stages, write: ms, total: stages.total + ms };
    const perceived = pacer.perceived(response.unit, times, firstBytes);
    for (const recovery of session.recoveries?.slice(recovered) ?? []) {
      recovered++;
      const event: RecoveryEvent = { type: "recovery", ...recovery, ms: round(recovery.ms, 3) };
      await tell(event, request, ends);
      await saving(saved?.keep(event));
      if (!quiet) say(recoveryLine(event));
    }
    await noteJoins(response.unit + 1);
    const kept = onlooker && { inspect: inspectMs(onlooker, response) };
    const event = unitEvent(response, { ...times, ...kept }, perceived, unitMs);
    totals.add(event);
    await tell(event, request, ends);
    await saving(saved?.keep(event));
    progress.update(totals.units, (totals.units * unitMs) / 1000);
  };
  // An interrupted run doesn't wait for input that may never come, nor does one whose output is gone.
  aborted(signal).then(() => reader.close());
  try {
    await ends.begin();
    const answers = (ends.inTurn ? pumpInTurn : pump)(session, timed(given), ending);
    for await (const response of pacer.responses(answers)) {
      try {
        await write(response);
      } catch (error) {
        stop.abort();
        await reader.close();
        throw error;
      }
    }
    await noteJoins(Infinity);
    return { wallMs: earlierMs + (Number.isNaN(end) ? 0 : end - start), broken: null };
  } catch (error) {
    if (!(error instanceof OutputError || error instanceof ReaderGone)) throw error;
    return { wallMs: earlierMs + performance.now() - start, broken: error };
  } finally {
    progress.clear();
  }
}

/** Waits for what is saved. Answers don't depend on it: where it fails, they are finished all the same. */
async function saving(work: Promise<void> | undefined): Promise<void> {
  try {
    await work;
  } catch (error) {
    throw error instanceof InputError
      ? new OutputError(error.message, 3)
      : outputError("the saved session", error);
  }
}

/** The observations from a unit on. @throws InputError when a fork's recording ends before that. */
async function* skipUnits(
  observations: AsyncIterable<Observation>,
  firstUnit: number,
  { saved }: RunRequest,
  path: string,
): AsyncGenerator<Observation> {
  let unit = 0;
  for await (const observation of observations) {
    if (unit++ >= firstUnit) yield observation;
  }
  if (saved?.fork && unit <= firstUnit) {
    throw new InputError(
      `${path}: has ${unit} units, but the fork begins after ${firstUnit}: give a longer recording`,
    );
  }
}

/** Seconds of stream that will come, where that is known. */
function totalSeconds(seconds: number | null, maxUnits: number, unitMs: number): number | null {
  const least = Math.min(seconds ?? Infinity, (maxUnits * unitMs) / 1000);
  return least < Infinity ? least : null;
}

/** A step of the input's clock in one line for people. */
function clockLine({ at, step }: ClockEvent, path: string): string {
  const what = {
    back: "its clock steps back",
    forward: "its clock jumps by more than a minute",
    restart: "another container begins",
  };
  return `${path}: ${what[step]} at ${at.toFixed(2)} s: what follows is joined on`;
}

/** A recovery in one line for people. */
function recoveryLine({ unit, reason, snapshot, ms }: RecoveryEvent): string {
  const from = snapshot < 0 ? "the beginning" : `the snapshot after unit ${snapshot}`;
  return `unit ${unit}: ${reason}; the session was rebuilt from ${from} in ${Math.round(ms)} ms`;
}
