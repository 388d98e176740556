/** Any agent's answer to a recording with a truth record, opened up: a model's, a cascade's. */
import type { OpenedAgent } from "../agents/agent.ts";
import type { Ends } from "../ends/ends.ts";
import { openInput } from "../ends/observe.ts";
import { type Truth, truthRate } from "../eval/measures/truth.ts";
import type { Recording } from "../eval/recordings.ts";
import type { Ffmpeg } from "../ffmpeg/ffmpeg.ts";
import { streamShapes } from "../media/stream_shape.ts";
import type { Network } from "../pace/network.ts";
import { typing } from "../pace/pump.ts";
import type { StartedRun } from "../provenance/provenance.ts";
import type { RunRequest } from "../run/run_model.ts";
import { run } from "../run/run.ts";
import { RunError } from "../system/errors.ts";
import type { Said } from "./run_data.ts";
import type { RunData } from "./run_data.ts";
import { RunRecorder } from "./run_recorder.ts";

/** What is answered, by whom, and how. */
export interface Answered {
  agent: OpenedAgent;
  recording: Recording;
  /** Of noise and sampling. */
  seed: number;
  network: Network | null;
  ffmpeg: Ffmpeg;
  run: StartedRun;
  signal: AbortSignal;
}

/**
 * Answers a recording as fast as possible; null: it was interrupted before the first answer.
 *
 * @throws RunError when not one unit was answered.
 */
export async function answered(asked: Answered): Promise<RunData | null> {
  const { agent, recording, seed, network, ffmpeg, signal } = asked;
  const { config, settings, checkpointDigest } = agent;
  const { truth } = recording;
  const recorder = new RunRecorder({
    name: `${agent.name}, ${recording.name}`,
    ...streamShapes(config),
    most: truth.units,
    filler: config.filler_token_id,
    ...knownWords(truth, config.unit_ms),
  });
  const request: RunRequest = {
    ...{ run: asked.run, model: agent.name, config, schedule: "eager", saved: null },
    pacing: { pace: "max", late: "wait", network },
    onlooker: recorder,
    options: { quiet: true, units: truth.units },
  };
  const open = async () => ({
    session: await agent.open(recording, seed),
    info: { placement: "fused", ...settings } as const,
    line: agent.line,
    checkpointDigest,
  });
  await run(request, recordingEnds(asked), open, signal);
  const data = await recorder.data(ffmpeg);
  if (data === null && signal.aborted) return null;
  if (data === null) throw new RunError(`${recording.name}: ${agent.name} answered no unit of it`);
  return { ...data, notes: [`${agent.line}; noise seed ${seed}`, ...data.notes] };
}

/** A recording comes in with what is typed in it; what is answered goes nowhere but to who looks on. */
function recordingEnds({ recording: { user, truth }, agent, ffmpeg }: Answered): Ends {
  const finder = () => Promise.resolve(ffmpeg);
  const typed = new Map(
    truth.timeline.flatMap(({ typed }, unit) => typed === null ? [] : [[unit, typed]]),
  );
  return {
    ...{ arriving: false, inTurn: true, ffmpeg: finder },
    async open() {
      const { user: shape } = streamShapes(agent.config);
      const { observations, facts } = await openInput(user, shape, finder);
      const reader = {
        [Symbol.asyncIterator]: () => typing(observations, typed),
        get cut() {
          return observations.cut;
        },
        joins: observations.joins,
        close: () => observations.close(),
      };
      return { reader, facts: { ...facts, sha256: null } };
    },
    tag: () => {},
    begin: () => Promise.resolve(),
    write: () => Promise.resolve(performance.now()),
    writeEvent: () => Promise.resolve(),
    finish: (units) => Promise.resolve({ units, outputs: {}, ended: "complete", cut: null }),
    close: () => Promise.resolve(),
  };
}

/** What the user says, and what the agent should answer. */
function knownWords({ events }: Truth, unitMs: number): { said: Said[]; right: Said[] } {
  const said: Said[] = [];
  const right: Said[] = [];
  for (const event of events) {
    if (event.type === "question") {
      const { start, end, endSample, text, typed, words, answer, pauses } = event;
      const until = endSample === null ? ((end + 1) * unitMs) / 1000 : endSample / truthRate;
      if (!typed) said.push({ start: (start * unitMs) / 1000, end: until, text });
      for (const [from, to] of pauses) {
        said.push({ start: from / truthRate, end: to / truthRate, text: "(pause)" });
      }
      right.push({ start: (answer * unitMs) / 1000, end: until, text: words.join(" ") });
    } else if (event.type === "naming" || event.type === "greeting") {
      const at = (event.start * unitMs) / 1000;
      right.push({ start: at, end: at, text: event.words.join(" ") });
    } else if (event.type === "distraction") {
      const { start, end, kind } = event;
      said.push({
        start: (start * unitMs) / 1000,
        end: ((end + 1) * unitMs) / 1000,
        text: `(${kind})`,
      });
    } else if (event.type === "story") {
      said.push({
        start: (event.start * unitMs) / 1000,
        end: (event.end * unitMs) / 1000,
        text: "(story)",
      });
    }
  }
  return { said, right };
}
