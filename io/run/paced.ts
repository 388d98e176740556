/** A conversation in time, for scripts: units as they would be captured, through a network. */
import type { Observation, Response, WorkerSession } from "../../engine/mod.ts";
import { Pacer, type PerceivedLatency, wallClock } from "../pace/pace.ts";
import { givenSession, givenSource } from "../../engine/checkpoint/given.ts";
import { choice, readOptions, type RulesOf } from "../../engine/config/option_rules.ts";
import { choosePace, paceOptions } from "../pace/pace_options.ts";

/** How a conversation is paced. */
export interface PacedOptions {
  /** "live": units go in when their last sample would have been captured, and latency is measured;
   * "max" (default): as fast as possible, and it is computed from the stages' times. */
  pace?: "live" | "max";
  /** What happens to units that a live machine is late for: "wait" (default) or "skip". */
  late?: "wait" | "skip";
  /** The network between both ends, e.g. "350ms±80ms,loss=1%,seed=7"; none by default. */
  network?: string;
  /** The observations are captured while they are read: the first one has just come (false). */
  arriving?: boolean;
  /** Ends the conversation with its reason. */
  signal?: AbortSignal;
}

const rules = {
  pace: choice(paceOptions.pace.choices),
  late: choice(paceOptions.late.choices),
  network: { kind: "text" },
  arriving: { kind: "flag" },
  signal: { kind: "signal" },
} as const satisfies RulesOf<PacedOptions>;

/** A response, and what the user had of it. */
export type PacedResponse = Response & { perceived: PerceivedLatency };

/**
 * A new session's responses to observations, paced as `replay` and `stream` pace them: a lost or skipped
 * observation is absent, a lost response is given but wasn't heard.
 *
 * @throws InputError when an option is none of the allowed values, or what is given is no session.
 */
export async function* paced(
  session: Pick<WorkerSession, "respond" | "layout" | "info">,
  observations: Iterable<Observation> | AsyncIterable<Observation>,
  options: PacedOptions = {},
): AsyncGenerator<PacedResponse> {
  const { arriving = false, signal, pace, late, network } = readOptions(options, rules);
  givenSession("paced()", session);
  givenSource("paced()", observations);
  const { firstUnit, placement, settings: { schedule } } = session.info;
  const { unitMs } = session.layout.agent;
  const pacing = choosePace({ pace, late, network });
  const pacer = new Pacer(
    { unitMs, ...pacing, schedule, placement, firstUnit, arriving },
    wallClock(signal ?? new AbortController().signal),
  );
  const responses = session.respond(pacer.observations(observations));
  for await (const response of pacer.responses(responses)) {
    signal?.throwIfAborted();
    const times = { ...response.stages, write: 0 };
    const perceived = pacer.perceived(response.unit, times, performance.now());
    yield { ...response, perceived };
  }
}
