/**
 * A Worker that plays a role: thinker, performer, or both (`fused`). Waiting for a GPU blocks its
 * thread, so nothing else runs in it.
 *
 * Opening takes two messages, because only one Worker at a time may choose its adapter: `adapter`
 * opens the device, `build` puts the model on it and computes or receives prefill.
 */
import type { Checkpoint } from "./checkpoint.ts";
import { InputError } from "./errors.ts";
import { Model } from "./model.ts";
import { Performer } from "./performer.ts";
import { computePrefill, receivePrefill } from "./prefill.ts";
import { Queue } from "./queue.ts";
import type { Settings } from "./settings.ts";
import { Thinker } from "./thinker.ts";
import {
  type ArrivedLatents,
  clock,
  type LatentsMessage,
  localPerformer,
  type RawResponse,
  remotePerformer,
  runTicks,
  servePerformer,
  type SliceMessage,
  type UnitInput,
} from "./ticks.ts";
import type { AdapterSpec } from "../kernels/adapter.ts";
import { Gpu } from "../kernels/device.ts";

export type Role = "thinker" | "performer" | "fused";

export type ToRole =
  | { type: "adapter"; spec: AdapterSpec }
  | { type: "build"; role: Role; checkpoint: Checkpoint; settings: Settings; port?: MessagePort }
  | { type: "unit"; input: UnitInput }
  | { type: "end" };

export type FromRole =
  | { type: "adapter"; name: string }
  | { type: "ready"; allocatedBytes: number }
  | { type: "response"; response: RawResponse }
  | { type: "done" }
  | { type: "error"; message: string; isInput: boolean };

type PrefillMessage = { prefill: ArrayBuffer[] };

const worker = self as unknown as {
  onmessage: ((event: MessageEvent<ToRole>) => void) | null;
  postMessage(message: FromRole, transfer?: Transferable[]): void;
};

const inputs = new Queue<UnitInput | null>();
let gpu: Gpu | undefined;

function fail(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  worker.postMessage({ type: "error", message, isInput: error instanceof InputError });
}

worker.onmessage = ({ data }) => {
  handle(data).catch(fail);
};

async function handle(message: ToRole): Promise<void> {
  switch (message.type) {
    case "adapter":
      gpu = await Gpu.open(message.spec);
      gpu.lost.then((reason) => fail(new Error(`the adapter's device was lost: ${reason}`)));
      worker.postMessage({ type: "adapter", name: gpu.name });
      break;
    case "build":
      if (!gpu) throw new Error("build before adapter");
      await build(gpu, message);
      break;
    case "unit":
      inputs.put(message.input);
      break;
    case "end":
      inputs.put(null);
      break;
  }
}

async function build(
  device: Gpu,
  { role, checkpoint, settings, port }: Extract<ToRole, { type: "build" }>,
): Promise<void> {
  const model = new Model(device, checkpoint, settings);
  if (role === "performer") {
    if (!port) throw new Error("a performer needs a port to its thinker");
    await buildPerformer(model, port);
    return;
  }
  const thinker = await Thinker.create(model, role === "thinker");
  const prefill = await computePrefill(model, role === "thinker");
  let link;
  if (role === "fused") {
    link = localPerformer(await Performer.create(model, false));
  } else {
    if (!port) throw new Error("a thinker needs a port to its performer");
    const solved = new Queue<ArrivedLatents>();
    port.onmessage = ({ data }: MessageEvent<LatentsMessage>) =>
      solved.put({ ...data, arrived: clock() });
    const message: PrefillMessage = { prefill };
    port.postMessage(message, prefill);
    link = remotePerformer(port, solved);
  }
  await device.check();
  worker.postMessage({ type: "ready", allocatedBytes: device.allocatedBytes });
  await runTicks(thinker, link, inputs, settings.schedule, (response) => {
    const transfer = [response.audio.buffer, response.frames.buffer] as ArrayBuffer[];
    worker.postMessage({ type: "response", response }, transfer);
  });
  await device.check();
  worker.postMessage({ type: "done" });
}

async function buildPerformer(model: Model, port: MessagePort): Promise<void> {
  const performer = await Performer.create(model, true);
  let before: Promise<void> = Promise.resolve();
  port.onmessage = ({ data }: MessageEvent<SliceMessage | PrefillMessage>) => {
    before = before.then(async () => {
      if (!("prefill" in data)) return await servePerformer(performer, port, data);
      receivePrefill(model, data.prefill);
      await model.gpu.check();
      worker.postMessage({ type: "ready", allocatedBytes: model.gpu.allocatedBytes });
    }).catch(fail);
  };
  await before;
}
