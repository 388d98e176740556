/**
 * A Worker that plays the thinker, a performer, or both on one device (`fused`). Waiting for a GPU
 * blocks its thread, so nothing else runs in it.
 *
 * Opening takes several messages: `adapter` opens the device, `tune` (when asked for) chooses kernels by measuring, `build` puts the model on it
 * and computes or receives prefill.
 */
import { InputError } from "../config/errors.ts";
import type { Settings } from "../model/settings.ts";
import { Model } from "../model/model.ts";
import { tuneDevice } from "./tuning.ts";
import {
  type Build,
  clock,
  type FromWorker,
  type LatentsMessage,
  type ToPerformer,
  type ToWorker,
} from "./messages.ts";
import { Performer } from "./performer.ts";
import { computePrefill, receivePrefill } from "./prefill.ts";
import { Queue } from "./queue.ts";
import { restoreHistory, restoreThinker, StateReader } from "./saved_state.ts";
import type { Snapshot } from "./snapshot.ts";
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

const worker = self as unknown as {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
};

const inputs = new Queue<Input>();
let gpu: Gpu | undefined;

/** Tells the session what failed. */
async function fail(error: unknown): Promise<void> {
  // The first error on a lost device doesn't name the loss, which is reported a moment later.
  const lost = await Promise.race([
    gpu?.lost,
    new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 50)),
  ]);
  const message = error instanceof Error ? error.message : String(error);
  worker.postMessage({
    type: "error",
    message: lost ? `the adapter's device was lost: ${lost}` : message,
    isInput: error instanceof InputError,
  });
}

worker.onmessage = ({ data }) => {
  handle(data).catch(fail);
};

// Deno would print the stack of an error that was not caught, and end the Worker.
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});
self.addEventListener("error", (event) => {
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
    case "build":
      await build(opened(), message.build);
      break;
    case "unit":
      inputs.put(message.input);
      break;
    case "save":
      inputs.put(message.request);
      break;
    case "flush":
      inputs.put({ flush: true });
      break;
    case "end":
      inputs.put(null);
      break;
    case "ping":
      worker.postMessage({ type: "pong" });
      break;
  }
}

async function build(device: Gpu, build: Build): Promise<void> {
  const { role, checkpoint, settings, snapshot, details, ports } = build;
  const model = new Model(device, checkpoint, settings);
  if (role === "performer") return await buildPerformer(model, onlyPort(ports), snapshot);
  const isSplit = role === "thinker";
  const thinker = await Thinker.create(model, isSplit, details);
  const prefill = snapshot ? null : await computePrefill(model, isSplit);
  if (snapshot) restoreThinker(thinker, snapshot);
  const link = isSplit
    ? linkPerformer(onlyPort(ports), prefill)
    : localPerformer(await Performer.create(model, false));
  await ready(model);
  await think(thinker, link, settings, snapshot);
  await device.check();
  worker.postMessage({ type: "done" });
}

/** The port to the other role. A thinker has one performer: the ticks know no group of them yet. */
function onlyPort([port, ...more]: readonly MessagePort[]): MessagePort {
  if (!port || more.length > 0) throw new Error(`a role needs one port, not ${more.length + 1}`);
  return port;
}

async function ready(model: Model): Promise<void> {
  await model.gpu.check();
  worker.postMessage({ type: "ready", allocatedBytes: model.gpu.allocatedBytes });
}

function linkPerformer(port: MessagePort, prefill: ArrayBuffer[] | null): PerformerLink {
  const solved = new Queue<ArrivedLatents>();
  port.onmessage = ({ data }: MessageEvent<LatentsMessage>) =>
    solved.put({ ...data, arrived: clock() });
  if (prefill) port.postMessage({ prefill } satisfies ToPerformer, prefill);
  return remotePerformer(port, solved);
}

/** Runs the ticks until the input ends. */
async function think(
  thinker: Thinker,
  link: PerformerLink,
  { schedule }: Settings,
  snapshot: Snapshot | null,
): Promise<void> {
  const reader = new StateReader(thinker);
  await runTicks(thinker, link, inputs, {
    schedule,
    first: snapshot ? snapshot.meta.unit + 1 : 0,
    emit(response) {
      const transfer = [response.audio.buffer, response.frames.buffer] as ArrayBuffer[];
      worker.postMessage({ type: "response", response }, transfer);
    },
    async save(last, request) {
      const state = await reader.read(last, request);
      const transfer = [...state.blobs.values()].map(({ buffer }) => buffer);
      worker.postMessage({ type: "state", state }, transfer);
    },
  });
}

async function buildPerformer(
  model: Model,
  port: MessagePort,
  snapshot: Snapshot | null,
): Promise<void> {
  const performer = await Performer.create(model, true);
  if (snapshot) {
    restoreHistory(model, snapshot);
    await ready(model);
  }
  // One message after the other: prefill, where history wasn't restored, then the slices.
  let before: Promise<void> = Promise.resolve();
  port.onmessage = ({ data }: MessageEvent<ToPerformer>) => {
    before = before.then(async () => {
      if (!("prefill" in data)) return await servePerformer(performer, port, data);
      receivePrefill(model, data.prefill);
      await ready(model);
    }).catch(fail);
  };
}
