/** The loop of a run: observations go in, responses come out and are written, until one side ends. */
import type { Recovery, Snapshot } from "../../engine/mod.ts";
import type { Observation, Response, StageTimes } from "../../engine/checkpoint/unit.ts";
import { orAborted } from "../system/interrupt.ts";
import type { UserText } from "../media/user_text.ts";

/** Milliseconds of one unit by stage; `write` is handing it to the output, and `total` includes it. */
export type UnitTimes = StageTimes & { write: number };

/** What a run needs of a session. */
export interface UnitSession extends AsyncIterable<Response> {
  push(observation: Observation): Promise<void>;
  /** The state after the last unit that was pushed; sessions that can't be saved lack it. */
  snapshot?(): Promise<Snapshot>;
  /** Failures after which the session was rebuilt, so far. */
  readonly recoveries?: readonly Recovery[];
  end(): void;
  close(): Promise<void>;
}

/** What is pumped: from where, through which session, and to where. */
export interface Pumped {
  session: UnitSession;
  observations: AsyncIterable<Observation>;
  /** The unit of the first observation; 0 by default. */
  firstUnit?: number;
  /** Text typed in each unit. */
  userText: UserText;
  /** The unit before which the loop ends; the rest of the input is left. */
  maxUnits: number;
  /** Ends the loop after the response that is being written. */
  signal: AbortSignal;
  write(response: Response): Promise<void>;
  /** Called after each unit was written. */
  written(response: Response, times: UnitTimes): void | Promise<void>;
}

/**
 * Works until the input, `maxUnits` or the signal ends it, and closes the session.
 *
 * @returns Milliseconds from the first observation to the last written response; 0: there was none.
 * @throws Whatever the input, the session or the writer throws first.
 */
export async function pump(run: Pumped): Promise<number> {
  const { session } = run;
  const stop = new AbortController();
  const signal = AbortSignal.any([run.signal, stop.signal]);
  let start = NaN;

  async function feed(): Promise<void> {
    let unit = run.firstUnit ?? 0;
    try {
      if (unit >= run.maxUnits) return;
      for await (const observation of run.observations) {
        if (signal.aborted) return;
        if (Number.isNaN(start)) start = performance.now();
        const text = run.userText.get(unit);
        await session.push(text === undefined ? observation : { ...observation, text });
        if (++unit === run.maxUnits || signal.aborted) return;
      }
    } finally {
      session.end();
    }
  }

  // An error of the input is thrown when the responses before it have been written.
  let inputError: { error: unknown } | null = null;
  const feeding = feed().catch((error) => void (inputError = { error }));
  let end = NaN;
  try {
    const responses = session[Symbol.asyncIterator]();
    for (;;) {
      const next = await orAborted(responses.next(), signal);
      if (next === null || next.done) break;
      const before = performance.now();
      await run.write(next.value);
      end = performance.now();
      const { stages } = next.value;
      const write = end - before;
      await run.written(next.value, { ...stages, write, total: stages.total + write });
    }
  } finally {
    stop.abort();
    await session.close();
    await feeding;
  }
  const failed = inputError as { error: unknown } | null;
  if (failed !== null && !run.signal.aborted) throw failed.error;
  return Number.isNaN(end) ? 0 : end - start;
}

/**
 * A session that does some things in its own way, and everything else as `inner` does it: snapshots and
 * recoveries pass through every wrapper.
 */
export function wrapSession(inner: UnitSession, own: Partial<UnitSession>): UnitSession {
  return {
    push: (observation) => inner.push(observation),
    ...(inner.snapshot ? { snapshot: inner.snapshot.bind(inner) } : {}),
    get recoveries() {
      return inner.recoveries ?? [];
    },
    end: () => inner.end(),
    close: () => inner.close(),
    [Symbol.asyncIterator]: () => inner[Symbol.asyncIterator](),
    ...own,
  };
}
