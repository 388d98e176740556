/** A role's Worker as the session sees it. */
import { InputError } from "../config/errors.ts";
import type { Failed, FromWorker, Reply, ToWorker, Tune } from "../roles/messages.ts";
import { Queue } from "../roles/queue.ts";
import { beatMs, Heartbeat } from "./heartbeat.ts";
import type { AdapterSpec } from "../../kernels/gpu/adapter.ts";
import type { Tuning } from "../../kernels/measure/tune.ts";

export class RoleWorker {
  readonly name: string;
  readonly heartbeat: Heartbeat;
  readonly #worker: Worker;
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
    const url = new URL("../roles/role_worker.ts", import.meta.url);
    this.#worker = new Worker(url, { type: "module", name });
    const stop = (error: Error) => {
      this.#replies.fail(error);
      fail(error);
    };
    this.heartbeat = new Heartbeat(() => this.send({ type: "ping" }), (beats) => {
      const seconds = Math.round((beats * beatMs(patience)) / 1000);
      stop(new Error(`${name}: gave no sign of life for ${seconds} s`));
    });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
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
    this.#worker.onerror = (event) => {
      event.preventDefault();
      stop(new Error(`${name}: ${event.message}`));
    };
  }

  send(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
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
    this.#worker.terminate();
    this.#replies.fail(error);
  }
}

/** The error of a role, or of what a user gave it. */
export function roleError(name: string, { message, isInput }: Failed): Error {
  return isInput ? new InputError(message) : new Error(`${name}: ${message}`);
}
