/**
 * A Worker that plays a role: thinker, performer, or both (`fused`). Waiting for a GPU blocks its
 * thread, so nothing else runs in it.
 *
 * Opening takes several messages, because only one Worker at a time may choose its adapter: `adapter`
 * opens the device, `tune` (when asked for) chooses kernels by measuring, `build` puts the model on it
 * and computes or receives prefill.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../config/config.ts";
import { InputError } from "../config/errors.ts";
import { Model } from "../model/model.ts";
import { Performer } from "./performer.ts";
import { computePrefill, receivePrefill } from "./prefill.ts";
import { Queue } from "./queue.ts";
import { restoreHistory, restoreThinker, type SavedState, StateReader } from "./saved_state.ts";
import type { Settings, TuningRequest } from "../model/settings.ts";
import type { Snapshot } from "./snapshot.ts";
import { Thinker } from "./thinker.ts";
import {
  type ArrivedLatents,
  clock,
  type Input,
  type LatentsMessage,
  localPerformer,
  type RawResponse,
  remotePerformer,
  runTicks,
  servePerformer,
  type SliceMessage,
  type StateRequest,
  type UnitInput,
} from "./ticks.ts";
import { tuneDevice } from "./tuning.ts";
import type { AdapterSpec } from "../../kernels/gpu/adapter.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import type { Tuning } from "../../kernels/measure/tune.ts";

export type Role = "thinker" | "performer" | "fused";

export type ToRole =
  | { type: "adapter"; spec: AdapterSpec }
  | { type: "tune"; tune: Tune }
  | { type: "build"; build: Build }
  | { type: "unit"; input: UnitInput }
  | { type: "save"; request: StateRequest }
  | { type: "end" }
  | { type: "ping" }
  | { type: "break"; what: Breakage };

export interface Build {
  role: Role;
  checkpoint: Checkpoint;
  settings: Settings;
  /** Where the session goes on; null: it begins with prefill. */
  snapshot: Snapshot | null;
  /** To the other role. */
  port?: MessagePort;
}

/** What a role measures before it is built. */
export interface Tune {
  config: ModelConfig;
  settings: Settings;
  request: Pick<TuningRequest, "record" | "budgetMs">;
}

/** What a test may do to a role: destroy its device, let its Worker fail, or let it end without a
 * word. */
export type Breakage = "device" | "worker" | "silence";

export type FromRole =
  | { type: "adapter"; name: string }
  | { type: "tuning" }
  | { type: "tuned"; tuning: Tuning }
  | { type: "ready"; allocatedBytes: number }
  | { type: "response"; response: RawResponse }
  | { type: "state"; state: SavedState }
  | { type: "done" }
  | { type: "pong" }
  | { type: "error"; message: string; isInput: boolean };

type PrefillMessage = { prefill: ArrayBuffer[] };

const worker = self as unknown as {
  onmessage: ((event: MessageEvent<ToRole>) => void) | null;
  postMessage(message: FromRole, transfer?: Transferable[]): void;
  close(): void;
};

const inputs = new Queue<Input>();
let gpu: Gpu | undefined;

async function fail(error: unknown): Promise<void> {
  // What fails on a lost device names everything but the reason, which comes a moment later.
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

// What nobody caught is told like any failure; Deno would print its stack and end the Worker.
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});
self.addEventListener("error", (event) => {
  event.preventDefault();
  fail((event as ErrorEvent).error);
});

async function handle(message: ToRole): Promise<void> {
  switch (message.type) {
    case "adapter":
      gpu = await Gpu.open(message.spec);
      gpu.lost.then(fail);
      worker.postMessage({ type: "adapter", name: gpu.name });
      break;
    case "tune": {
      if (!gpu) throw new Error("tune before adapter");
      const { config, settings, request } = message.tune;
      const begin = () => worker.postMessage({ type: "tuning" });
      const tuning = await tuneDevice(gpu, config, settings, request, begin);
      worker.postMessage({ type: "tuned", tuning });
      break;
    }
    case "build":
      if (!gpu) throw new Error("build before adapter");
      await build(gpu, message.build);
      break;
    case "unit":
      inputs.put(message.input);
      break;
    case "save":
      inputs.put(message.request);
      break;
    case "end":
      inputs.put(null);
      break;
    case "ping":
      worker.postMessage({ type: "pong" });
      break;
    case "break":
      if (message.what === "silence") worker.close();
      else if (message.what === "device") gpu?.device.destroy();
      else Promise.reject(new Error("broken by a test"));
      break;
  }
}

async function build(device: Gpu, build: Build): Promise<void> {
  const { role, checkpoint, settings, snapshot, port } = build;
  const model = new Model(device, checkpoint, settings);
  if (role === "performer") {
    if (!port) throw new Error("a performer needs a port to its thinker");
    await buildPerformer(model, port, snapshot);
    return;
  }
  const thinker = await Thinker.create(model, role === "thinker");
  const prefill = snapshot ? null : await computePrefill(model, role === "thinker");
  if (snapshot) restoreThinker(thinker, snapshot);
  let link;
  if (role === "fused") {
    link = localPerformer(await Performer.create(model, false));
  } else {
    if (!port) throw new Error("a thinker needs a port to its performer");
    const solved = new Queue<ArrivedLatents>();
    port.onmessage = ({ data }: MessageEvent<LatentsMessage>) =>
      solved.put({ ...data, arrived: clock() });
    if (prefill) port.postMessage({ prefill } satisfies PrefillMessage, prefill);
    link = remotePerformer(port, solved);
  }
  await device.check();
  worker.postMessage({ type: "ready", allocatedBytes: device.allocatedBytes });
  const reader = new StateReader(thinker);
  await runTicks(thinker, link, inputs, {
    schedule: settings.schedule,
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
  await device.check();
  worker.postMessage({ type: "done" });
}

async function buildPerformer(
  model: Model,
  port: MessagePort,
  snapshot: Snapshot | null,
): Promise<void> {
  const performer = await Performer.create(model, true);
  const ready = async () => {
    await model.gpu.check();
    worker.postMessage({ type: "ready", allocatedBytes: model.gpu.allocatedBytes });
  };
  let before: Promise<void> = Promise.resolve();
  if (snapshot) {
    restoreHistory(model, snapshot);
    before = ready();
  }
  port.onmessage = ({ data }: MessageEvent<SliceMessage | PrefillMessage>) => {
    before = before.then(async () => {
      if (!("prefill" in data)) return await servePerformer(performer, port, data);
      receivePrefill(model, data.prefill);
      await ready();
    }).catch(fail);
  };
  await before;
}
