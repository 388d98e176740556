/** Observations go into a session and responses come out, until one side ends. */
import type { Recovery, Snapshot } from "../../engine/mod.ts";
import type { Observation, Response, StageTimes } from "../../engine/checkpoint/unit.ts";
import { givenSource } from "../../engine/checkpoint/given.ts";
import { kindOf, valueText } from "../../engine/config/error_text.ts";
import { InputError } from "../../engine/config/errors.ts";
import { orAborted } from "../system/interrupt.ts";
import type { UserText } from "../media/user_text.ts";

/** Milliseconds of one unit by stage; `write` is handing it to the output, and `total` includes it.
 * `inspect`: keeping it for a page, where there is one; after `total`. */
export type UnitTimes = StageTimes & { write: number; inspect?: number };

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

/**
 * Gives all observations to a session, and its responses as they come; closes the session at the end.
 *
 * @param signal Ends both sides; the response that was given last is the last one.
 * @throws What the session throws; what the source throws, once the responses before that were given.
 */
export async function* pump(
  session: UnitSession,
  observations: AsyncIterable<Observation>,
  signal: AbortSignal,
): AsyncGenerator<Response> {
  const stop = new AbortController();
  const ended = AbortSignal.any([signal, stop.signal]);
  // The source works on its next observation: it may take long, and isn't waited for.
  let isAsked = true;
  async function feed(): Promise<void> {
    try {
      for await (const observation of observations) {
        isAsked = false;
        if (!ended.aborted) await session.push(observation);
        if (ended.aborted) return;
        isAsked = true;
      }
    } finally {
      isAsked = false;
      session.end();
    }
  }

  let inputError: { error: unknown } | null = null;
  const feeding = feed().catch((error) => void (inputError = { error }));
  try {
    const responses = session[Symbol.asyncIterator]();
    for (;;) {
      const next = await orAborted(responses.next(), signal);
      if (next === null || next.done) break;
      yield next.value;
    }
  } finally {
    stop.abort();
    await session.close();
    if (!isAsked) await feeding;
  }
  const failed = inputError as { error: unknown } | null;
  if (failed !== null && !signal.aborted) throw failed.error;
}

/**
 * As `pump`, but each response is taken before the next observation is asked for, and is there at once
 * in either schedule: it is awaited only when its observation was pushed.
 */
export async function* pumpInTurn(
  session: UnitSession,
  observations: AsyncIterable<Observation>,
  signal: AbortSignal,
): AsyncGenerator<Response> {
  const source = observations[Symbol.asyncIterator]();
  const responses = session[Symbol.asyncIterator]();
  try {
    for (;;) {
      const given = await orAborted(source.next(), signal);
      if (given === null) break;
      // At the end the session settles what it owes, snapshots too.
      if (given.done) session.end();
      else await session.push(given.value);
      const answer = await orAborted(responses.next(), signal);
      if (answer === null || answer.done) break;
      yield answer.value;
    }
  } finally {
    session.end();
    await session.close();
  }
}

/**
 * Observations with what is typed in each.
 *
 * @param first The unit of the first observation. @param most The unit before which they end; the
 * source isn't read further.
 * @throws InputError when the text is no Map.
 */
export async function* typing(
  observations: Iterable<Observation> | AsyncIterable<Observation>,
  userText: UserText,
  first = 0,
  most = Infinity,
): AsyncGenerator<Observation> {
  givenSource("typing()", observations);
  if (kindOf(userText) !== "Map") {
    throw new InputError(
      `typing(): the text is ${valueText(userText)}; it may be a Map of texts by unit`,
    );
  }
  if (first >= most) return;
  let unit = first;
  for await (const observation of observations) {
    const text = userText.get(unit);
    yield text === undefined ? observation : { ...observation, text };
    if (++unit >= most) return;
  }
}
