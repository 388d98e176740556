/** The ticks: in which order the thinker's work, the performer's and the emission of responses
 * follow each other. The order decides latency, never bytes. */
import { createHash } from "node:crypto";
import {
  clock,
  type LatentsMessage,
  type RawResponse,
  type SliceMessage,
  type SolverInspection,
  type UnitInput,
} from "./messages.ts";
import type { Queue } from "./queue.ts";
import type { StateRequest } from "./snapshot.ts";
import { joinShares } from "../model/attention_shares.ts";
import type { Schedule } from "../model/settings.ts";
import type { PassInspection, Thinker } from "./thinker.ts";
import type { StageTimes } from "../checkpoint/unit.ts";
import type { Tensor } from "../../kernels/gpu/tensor.ts";
import type { Performer } from "./performer.ts";

/** Asks for the responses to everything before it now, whatever the schedule. */
export interface Flush {
  flush: true;
}

/** What comes to the thinker, in order; null ends it. */
export type Input = UnitInput | StateRequest | Flush | null;

/** What the performer gives back for a unit, wherever it runs. */
export interface Solved {
  latents: Float32Array | Tensor;
  times: Pick<StageTimes, "sendSlice" | "solve" | "sendLatents">;
  /** Only where it was asked for. */
  inspection?: SolverInspection | undefined;
}

/** The performer as the thinker's loop sees it. */
export interface PerformerLink {
  /** Hands over slice k; the solver may start. */
  start(unit: number, typed: number, slice: ArrayBuffer | null): void;
  /** The latents of the unit started last. */
  finish(): Promise<Solved>;
}

interface Started {
  unit: number;
  /** When its encoding began. */
  begun: number;
  queue: number;
  textIds: number[];
  probabilities: Float32Array | null;
  inspection: { pass: PassInspection | null; solve?: SolverInspection | undefined };
  historyTokens: number;
  times: Omit<StageTimes, "queue" | "wait" | "total">;
}

/** How ticks run, and where what they give goes. */
export interface Ticking {
  schedule: Schedule;
  /** The unit of the first observation (0). */
  first?: number;
  emit(response: RawResponse): void;
  /** Saves the state after unit `last`: it is emitted and its latents are set, and nothing of the
   * next one is encoded. */
  save?(last: number, request: StateRequest): Promise<void>;
}

/**
 * Runs ticks until the input ends (null).
 *
 * `paper`: y_k is decoded and emitted in tick k + 1, while the performer solves y_{k+1}.
 * `eager`: y_k is decoded and emitted as soon as the performer has it.
 * Before the state is saved y_k is emitted in both, so that state doesn't depend on the schedule.
 */
export async function runTicks(
  thinker: Thinker,
  link: PerformerLink,
  inputs: Queue<Input>,
  { schedule, first = 0, emit, save }: Ticking,
): Promise<void> {
  let encodedAhead: { begun: number; ms: number } | undefined;
  /** The unit that the performer has, and that isn't emitted yet. */
  let solving: Started | undefined;

  const encode = async (input: UnitInput) => {
    const begun = clock();
    thinker.encode(input);
    await thinker.fence();
    return { begun, ms: clock() - begun };
  };
  const takeLatents = async (started: Started) => {
    const { latents, times, inspection } = await link.finish();
    Object.assign(started.times, times);
    started.inspection.solve = inspection;
    thinker.setLatents(latents);
  };
  const decodeAndEmit = async (started: Started) => {
    const start = clock();
    const { audio, frames, latents } = await thinker.decode();
    started.times.decode = clock() - start;
    const digest = createHash("sha256").update(new Uint8Array(latents.buffer)).digest("hex");
    const { unit, begun, queue, textIds, probabilities, historyTokens, times } = started;
    const total = clock() - begun;
    const worked = Object.values(times).reduce((sum, ms) => sum + ms, 0);
    const stages = { ...times, queue, wait: Math.max(0, total - worked), total };
    const details = probabilities
      ? { details: { latents: thinker.model.splitLatents(latents), probabilities } }
      : {};
    const inspection = joined(started.inspection);
    emit({
      ...{ unit, tokens: textIds, audio, frames, digest, historyTokens, stages },
      ...details,
      ...(inspection ? { inspection } : {}),
    });
  };
  const finish = async () => {
    const last = solving;
    solving = undefined;
    if (!last) return;
    await takeLatents(last);
    await decodeAndEmit(last);
  };

  for (let unit = first;;) {
    const input = await inputs.take();
    if (input === null) break;
    if ("flush" in input) {
      await finish();
      continue;
    }
    if ("since" in input) {
      await finish();
      await save?.(unit - 1, input);
      continue;
    }
    const encoded = encodedAhead ?? await encode(input);
    encodedAhead = undefined;
    const previous = solving;
    if (previous) await takeLatents(previous);

    const passStart = clock();
    const { textIds, probabilities, inspection, slice } = await thinker.pass(unit, input.typed);
    solving = {
      unit,
      begun: encoded.begun,
      queue: Math.max(0, encoded.begun - input.arrived),
      textIds,
      probabilities,
      inspection: { pass: inspection },
      historyTokens: thinker.model.window.visibleTokens(
        thinker.model.window.rank(unit, "language", thinker.model.layout.agentText - 1),
      ),
      times: {
        encode: encoded.ms,
        pass: clock() - passStart,
        sendSlice: 0,
        solve: 0,
        sendLatents: 0,
        decode: 0,
      },
    };
    link.start(unit, input.typed.length, slice);
    if (previous) await decodeAndEmit(previous);
    // While the performer solves, the next observation can be encoded if it is here already.
    const next = inputs.peek();
    if (next && "typed" in next) encodedAhead = await encode(next);
    if (schedule === "eager") await finish();
    unit++;
  }
  await finish();
}

/** What thinker and performer saw of one response's making. */
function joined({ pass, solve }: Started["inspection"]): RawResponse["inspection"] {
  if (!pass || !solve) return undefined;
  const { shares, ...words } = pass;
  return { attention: joinShares(shares, solve.shares), path: solve.path, ...words };
}

/** The performer of a `fused` session: same device, same history, nothing to send. The solver starts
 * when its result is asked for, so that the decoding of the unit before doesn't queue behind it. */
export function localPerformer(performer: Performer): PerformerLink {
  let started = -1;
  return {
    start: (unit) => {
      started = unit;
    },
    finish: async () => {
      const start = clock();
      performer.solve(started);
      const { inspection } = await performer.read();
      const times = { sendSlice: 0, solve: clock() - start, sendLatents: 0 };
      return { latents: performer.latents, times, inspection };
    },
  };
}

/** Latents with the moment at which they reached the thinker's thread. */
export type ArrivedLatents = LatentsMessage & { arrived: number };

/** The performer in another Worker, behind a port. */
export function remotePerformer(
  port: MessagePort,
  solvedUnits: Queue<ArrivedLatents>,
): PerformerLink {
  return {
    start: (unit, typed, slice) => {
      if (!slice) throw new Error("the pass gave no slice to send");
      const message: SliceMessage = { unit, typed, slice, sent: clock() };
      port.postMessage(message, [slice]);
    },
    finish: async () => {
      const { latents, sliceSent, sliceArrived, solved, arrived, inspection } = await solvedUnits
        .take();
      return {
        latents,
        inspection,
        times: {
          sendSlice: sliceArrived - sliceSent,
          solve: solved - sliceArrived,
          sendLatents: arrived - solved,
        },
      };
    },
  };
}

/** Answers slices with latents: the performer's whole life. */
export async function servePerformer(
  performer: Performer,
  port: MessagePort,
  { unit, typed, slice, sent }: SliceMessage,
): Promise<void> {
  const sliceArrived = clock();
  performer.append(unit, typed, slice);
  performer.solve(unit);
  const { latents, ...more } = await performer.read();
  const message: LatentsMessage = {
    unit,
    latents,
    ...more,
    sliceSent: sent,
    sliceArrived,
    solved: clock(),
  };
  port.postMessage(message, [latents.buffer]);
}
