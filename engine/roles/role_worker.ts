/**
 * A Worker that plays the thinker, a performer, or both on one device (`fused`). Waiting for a GPU
 * blocks its thread, so nothing else runs in it.
 *
 * Opening takes several messages: `adapter` opens the device, `tune` (when asked for) chooses kernels by measuring, `model` names the checkpoint;
 * then each `build` makes a session's part: it puts weights and kernels on the device where no session
 * before it has, and computes or receives prefill.
 */
import { createHash } from "node:crypto";
import { workerData } from "node:worker_threads";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { InputError } from "../config/errors.ts";
import { Model } from "../model/model.ts";
import { tuneDevice } from "./tuning.ts";
import {
  type Build,
  clock,
  type Failed,
  type FromRole,
  type FromWorker,
  type LatentsMessage,
  type ToPerformer,
  type ToRole,
  type ToWorker,
} from "./messages.ts";
import { Performer } from "./performer.ts";
import { computePrefill, receivePrefill } from "./prefill.ts";
import { Queue } from "./queue.ts";
import { restoreHistory, restoreThinker, StateReader } from "./saved_state.ts";
import { Thinker } from "./thinker.ts";
import {
  type ArrivedLatents,
  type Input,
  localPerformer,
  type PerformerLink,
  remotePerformer,
  runTicks,
  servePerformer,
} from "./ticks.ts";
import { Gpu } from "../../kernels/gpu/device.ts";

const worker: {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
} = workerData.port;

let gpu: Gpu | undefined;
let checkpoint: Checkpoint | undefined;

/** Tells the sessions what failed. */
async function fail(error: unknown): Promise<void> {
  worker.postMessage(await failure(error));
}

async function failure(error: unknown): Promise<Failed> {
  // The first error on a lost device doesn't name the loss, which is reported a moment later.
  const lost = await Promise.race([
    gpu?.lost,
    new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 50)),
  ]);
  const message = error instanceof Error ? error.message : String(error);
  return {
    type: "error",
    message: lost ? `the adapter's device was lost: ${lost}` : message,
    isInput: error instanceof InputError,
  };
}

worker.onmessage = ({ data }) => {
  handle(data).catch(fail);
};

// Deno would print the stack of an error that was not caught, and end the Worker.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});
addEventListener("error", (event) => {
  event.preventDefault();
  fail((event as ErrorEvent).error);
});

function opened(): Gpu {
  if (!gpu) throw new Error("the adapter isn't open");
  return gpu;
}

async function handle(message: ToWorker): Promise<void> {
  switch (message.type) {
    case "adapter":
      gpu = await Gpu.open(message.spec);
      gpu.lost.then(fail);
      worker.postMessage({ type: "adapter", name: gpu.name });
      break;
    case "tune": {
      const { config, settings, request } = message.tune;
      const begin = () => worker.postMessage({ type: "tuning" });
      const tuning = await tuneDevice(opened(), config, settings, request, begin);
      worker.postMessage({ type: "tuned", tuning });
      break;
    }
    case "model":
      checkpoint = message.checkpoint;
      break;
    case "build":
      await build(message.build);
      break;
    case "ping":
      worker.postMessage({ type: "pong" });
      break;
  }
}

/** What a session that is closed ends its part with. */
const closed = new Error("the session was closed");

async function build(build: Build): Promise<void> {
  const { role, settings, port } = build;
  const key = idleKey(build);
  const kept = takeIdle(key);
  // Everything that the session has of its own, freed with it.
  const part = kept?.thinker.model.gpu ?? opened().part();
  try {
    if (!checkpoint) throw new Error("the Worker has no model");
    let run: () => Promise<void>;
    let parts: Parts | null = null;
    if (role === "performer") {
      run = await buildPerformer(new Model(part, checkpoint, settings), build);
    } else {
      if (kept) kept.thinker.rewind();
      parts = kept ?? await makeParts(new Model(part, checkpoint, settings), build);
      run = await runThinker(parts, build);
    }
    const end = (isWhole: boolean) => {
      if (isWhole && key !== null && parts) keepIdle(key, parts);
      else part.destroy();
    };
    run().then(() => end(true), (error) => {
      end(error === closed);
      // What fails later is the Worker's failure.
      if (error !== closed) fail(error);
    });
  } catch (error) {
    part.destroy();
    port.postMessage(await failure(error));
  }
}

/** A thinker's part of a session, with a performer on the same device or without one. */
interface Parts {
  thinker: Thinker;
  performer: Performer | null;
  reader: StateReader;
  /** K and V of prefill, for a performer elsewhere. */
  prefill: ArrayBuffer[] | null;
}

/** Parts of `fused` sessions that have closed: recorded plans, which the next session with the same
 * settings takes over. Oldest first. */
const idle: { key: string; parts: Parts }[] = [];
/** One for the session under way and one for the next, which opens meanwhile. */
const mostIdle = 2;

/** What sessions have in common that can take each other's parts over; null: these can't. */
function idleKey({ role, settings, snapshot, details, inspect, textOnly }: Build): string | null {
  if (role !== "fused" || snapshot || details || inspect) return null;
  const { personaFrame, voice, ...rest } = settings;
  const digest = (values: Uint8Array | Float32Array | null) =>
    values && createHash("sha256").update(new Uint8Array(values.slice().buffer)).digest("hex");
  return JSON.stringify([rest, digest(personaFrame), digest(voice), textOnly]);
}

/** The parts of a closed session; where none fits, those that wait give their memory back. */
function takeIdle(key: string | null): Parts | null {
  const at = idle.findIndex((one) => one.key === key);
  if (at >= 0) return idle.splice(at, 1)[0]?.parts ?? null;
  for (const { parts } of idle.splice(0)) parts.thinker.model.gpu.destroy();
  return null;
}

function keepIdle(key: string, parts: Parts): void {
  idle.push({ key, parts });
  if (idle.length > mostIdle) idle.shift()?.parts.thinker.model.gpu.destroy();
}

/** Builds a session's part, and gives what runs it to its end. */
type Built = Promise<() => Promise<void>>;

async function makeParts(
  model: Model,
  { snapshot, details, inspect, textOnly, peer }: Build,
): Promise<Parts> {
  const thinker = await Thinker.create(model, peer !== null, { details, inspect, textOnly });
  const prefill = snapshot
    ? null
    : await computePrefill(model, peer !== null, (first) => thinker.begin(first));
  if (snapshot) restoreThinker(thinker, snapshot);
  const performer = peer ? null : await Performer.create(model, false, inspect);
  return { thinker, performer, reader: new StateReader(thinker), prefill };
}

async function runThinker(parts: Parts, build: Build): Built {
  const { thinker, performer, prefill } = parts;
  const { port, peer } = build;
  const inputs = new Queue<Input>();
  const solved = new Queue<ArrivedLatents>();
  const link = performer ? localPerformer(performer) : linkPerformer(peer, solved, prefill);
  port.onmessage = ({ data }: MessageEvent<ToRole>) => {
    switch (data.type) {
      case "unit":
        return inputs.put(data.input);
      case "save":
        return inputs.put(data.request);
      case "flush":
        return inputs.put({ flush: true });
      case "end":
        return inputs.put(null);
      case "close":
        inputs.stop(closed);
        solved.stop(closed);
        // A tick that is under way ends before its memory is freed.
        port.onmessage = null;
    }
  };
  await ready(thinker.model, port);
  return async () => {
    await think(parts, link, inputs, build);
    await thinker.model.gpu.check();
    port.postMessage({ type: "done" } satisfies FromRole);
  };
}

async function ready({ gpu }: Model, port: MessagePort): Promise<void> {
  await gpu.check();
  const bytes = { allocatedBytes: gpu.root.allocatedBytes, sessionBytes: gpu.allocatedBytes };
  port.postMessage({ type: "ready", bytes } satisfies FromRole);
}

function linkPerformer(
  port: MessagePort | null,
  solved: Queue<ArrivedLatents>,
  prefill: ArrayBuffer[] | null,
): PerformerLink {
  if (!port) throw new Error("a thinker needs a port to its performer");
  port.onmessage = ({ data }: MessageEvent<LatentsMessage>) =>
    solved.put({ ...data, arrived: clock() });
  if (prefill) port.postMessage({ prefill } satisfies ToPerformer, prefill);
  return remotePerformer(port, solved);
}

/** Runs the ticks until the input ends. */
async function think(
  { thinker, reader }: Parts,
  link: PerformerLink,
  inputs: Queue<Input>,
  { settings: { schedule }, snapshot, port }: Build,
): Promise<void> {
  const post = (message: FromRole, transfer: Transferable[]) => port.postMessage(message, transfer);
  await runTicks(thinker, link, inputs, {
    schedule,
    first: snapshot ? snapshot.meta.unit + 1 : 0,
    emit(response) {
      const transfer = [response.audio.buffer, response.frames.buffer] as ArrayBuffer[];
      post({ type: "response", response }, transfer);
    },
    async save(last, request) {
      const state = await reader.read(last, request);
      post({ type: "state", state }, [...state.blobs.values()].map(({ buffer }) => buffer));
    },
  });
}

async function buildPerformer(model: Model, { snapshot, port, peer, inspect }: Build): Built {
  if (!peer) throw new Error("a performer needs a port to its thinker");
  const performer = await Performer.create(model, true, inspect);
  const over = Promise.withResolvers<void>();
  port.onmessage = ({ data }: MessageEvent<ToRole>) => {
    if (data.type === "close") over.reject(closed);
  };
  // One message after the other: prefill, where history wasn't restored, then the slices.
  let before: Promise<void> = Promise.resolve();
  const prefilled = Promise.withResolvers<void>();
  if (snapshot) {
    restoreHistory(model, snapshot);
    prefilled.resolve();
  }
  peer.onmessage = ({ data }: MessageEvent<ToPerformer>) => {
    before = before.then(async () => {
      if (!("prefill" in data)) return await servePerformer(performer, peer, data);
      receivePrefill(model, data.prefill);
      prefilled.resolve();
    }).catch(over.reject);
  };
  await Promise.race([prefilled.promise, over.promise]);
  await ready(model, port);
  return async () => {
    try {
      await over.promise;
    } finally {
      peer.onmessage = null;
      await before;
    }
  };
}
