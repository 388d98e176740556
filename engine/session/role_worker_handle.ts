/** A role's Worker as the session sees it. It doesn't hold the process: what waits for it does. */
import { Worker } from "node:worker_threads";
import { InputError } from "../config/errors.ts";
import type { Failed, FromWorker, Reply, ToWorker, Tune } from "../roles/messages.ts";
import { Queue } from "../roles/queue.ts";
import { beatMs, Heartbeat } from "./heartbeat.ts";
import type { AdapterSpec } from "../../kernels/gpu/adapter.ts";
import type { Tuning } from "../../kernels/measure/tune.ts";

/** What a role's Worker runs; tests put one in its place that can be broken. */
export const roleProgram = { url: new URL("../roles/role_worker.ts", import.meta.url) };

export class RoleWorker {
  readonly name: string;
  readonly heartbeat: Heartbeat;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #replies = new Queue<Reply>();

  /**
   * @param name The role's name in messages of errors.
   * @param patience Milliseconds for which it may be silent, see `Heartbeat`.
   * @param fail Called when the Worker fails.
   */
  constructor(
    name: string,
    patience: number,
    fail: (error: Error) => void,
  ) {
    this.name = name;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    // A Worker of the web would hold the process for as long as it lives. Messages through a port are
    // faster, too.
    const workerData = { port: port2, name };
    this.#worker = new Worker(roleProgram.url, {
      name,
      workerData,
      transferList: [port2 as never],
    });
    this.#worker.unref();
    const stop = (error: Error) => {
      this.#replies.fail(error);
      fail(error);
    };
    this.heartbeat = new Heartbeat(() => this.send({ type: "ping" }), (beats) => {
      const seconds = Math.round((beats * beatMs(patience)) / 1000);
      stop(new Error(`${name}: gave no sign of life for ${seconds} s`));
    });
    port1.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      this.heartbeat.heard();
      switch (data.type) {
        case "pong":
          break;
        case "error":
          stop(roleError(name, data));
          break;
        default:
          this.#replies.put(data);
      }
    };
    this.#worker.on("error", ({ message }: Error) => stop(new Error(`${name}: ${message}`)));
  }

  send(message: ToWorker, transfer: Transferable[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  /** It has opened: from now on sessions wait for it, through ports of their own. */
  release(): void {
    holdProcess(this.#port, false);
  }

  /** Opens the adapter and gives its name. */
  async openAdapter(spec: AdapterSpec): Promise<string> {
    this.send({ type: "adapter", spec });
    const reply = await this.#replies.take();
    return reply.type === "adapter" ? reply.name : "";
  }

  /** Lets it choose its kernels' variants. `begin` is called when it has to measure. */
  async tune({ request, ...rest }: Tune, begin: () => void): Promise<Tuning> {
    // The request's functions can't be sent.
    const { record, budgetMs } = request;
    const sent = { record, ...(budgetMs === undefined ? {} : { budgetMs }) };
    this.send({ type: "tune", tune: { ...rest, request: sent } });
    for (;;) {
      const reply = await this.#replies.take();
      if (reply.type === "tuned") return reply.tuning;
      begin();
    }
  }

  /** @param error What those who still wait for a reply get. */
  terminate(error: Error): void {
    this.#port.close();
    this.#worker.terminate();
    this.#replies.fail(error);
  }
}

/** The error of a role, or of what a user gave it. */
export function roleError(name: string, { message, isInput }: Failed): Error {
  return isInput ? new InputError(message) : new Error(`${name}: ${message}`);
}

/** Whether the process goes on for as long as something may come through a port. */
export function holdProcess(port: MessagePort, holds: boolean): void {
  // TypeScript's library "dom" doesn't know these.
  const { ref, unref } = port as MessagePort & { ref(): void; unref(): void };
  (holds ? ref : unref).call(port);
}
