/** The roles' Workers as the session sees them: where they run, opening them, and their end. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { InputError } from "../config/errors.ts";
import { beatMs, Heartbeat } from "./heartbeat.ts";
import { Queue } from "../roles/queue.ts";
import type { Breakage, Build, FromRole, Role, ToRole, Tune } from "../roles/role_worker.ts";
import type { SessionOptions, Settings, TuningRequest } from "../model/settings.ts";
import type { Snapshot } from "../roles/snapshot.ts";
import { type AdapterSpec, driverFile, inTurn } from "../../kernels/gpu/adapter.ts";
import type { Choices } from "../../kernels/gpu/device.ts";
import { listAdapters } from "../../kernels/gpu/probe.ts";
import type { Tuning } from "../../kernels/measure/tune.ts";

/** Where the roles run. */
export interface Places {
  placement: "split" | "fused";
  thinker: AdapterSpec;
  performer: AdapterSpec;
}

/** What a role runs on. */
export interface RoleInfo {
  adapter: string;
  spec: AdapterSpec;
  allocatedBytes: number;
  /** Kernel variants that were chosen by measurement, by kernel and shape; the others are the static
   * defaults. */
  kernels: Choices;
}

/**
 * `auto` is split where the roles' adapters differ: because the specs do, or because no spec is given
 * and there are two graphics cards. On one adapter it is what measured faster (NOTES.md): split on a
 * CPU driver, where one role's small kernels fill the other's gaps; fused on a graphics card, which
 * spares the transfers and the second copy of weights and history.
 */
export async function placeRoles(options: SessionOptions): Promise<Places> {
  const { placement = "auto", thinker = "default", performer = thinker } = options;
  if (placement === "fused" && performer !== thinker) {
    throw new InputError(
      `placement 'fused' has one adapter, but thinker is '${thinker}' and performer '${performer}': use 'split', or one adapter`,
    );
  }
  if (placement === "fused") return { placement, thinker, performer };
  if (performer !== thinker) return { placement: "split", thinker, performer };
  const cards = (await listAdapters()).filter(({ software }) => !software);
  const [first, second] = cards;
  if (!options.thinker && !options.performer && first && second) {
    return { placement: "split", thinker: first.spec, performer: second.spec };
  }
  if (placement === "split") return { placement, thinker, performer };
  const onCard = thinker === "default"
    ? cards.length > 0
    : cards.some((card) => card.driverFile === driverFile(thinker));
  return { placement: onCard ? "fused" : "split", thinker, performer };
}

/** The Workers of one placement: one for both roles, or one each. */
export class Roles {
  readonly #handles: RoleHandle[] = [];
  readonly #beat: ReturnType<typeof setInterval>;
  #failure: Error | undefined;
  #open = false;

  /**
   * @param patience Milliseconds for which a role may be silent, see `Heartbeat`.
   * @param receive Takes what the thinker says of units.
   * @param lost Called once, when a role fails after `open`.
   */
  constructor(
    readonly places: Places,
    private readonly patience: number,
    private readonly receive: (message: FromRole) => void,
    private readonly lost: (error: Error) => void,
  ) {
    this.#beat = setInterval(() => {
      for (const { heartbeat } of [...this.#handles]) heartbeat.beat();
    }, beatMs(patience));
  }

  /** Starts the Workers, opens their adapters, chooses kernels where that is asked for, and builds the
   * model on them: with prefill, or as it was in the snapshot. @throws when a role fails, or `close` is called meanwhile. */
  async open(
    checkpoint: Checkpoint,
    settings: Settings,
    snapshot: Snapshot | null,
    tuning: TuningRequest | null,
  ): Promise<{ thinker: RoleInfo; performer: RoleInfo }> {
    const { placement, thinker: thinkerSpec, performer: performerSpec } = this.places;
    const build = { checkpoint, settings, snapshot };
    const first = this.#start(placement === "fused" ? "fused" : "thinker");
    const adapter = await first.openAdapter(thinkerSpec);
    // One after the other: the second finds what the first measured, and isn't disturbed by it.
    let record = tuning?.record ?? {};
    const tune = async (handle: RoleHandle, name: string): Promise<Choices> => {
      if (!tuning) return {};
      const request = { config: checkpoint.config, settings, request: { ...tuning, record } };
      const tuned = await handle.tune(request, () => tuning.begin?.(name));
      record = tuned.record;
      tuning.end?.(name, tuned);
      return tuned.choices;
    };
    const kernels = await tune(first, adapter);
    let thinker: RoleInfo;
    let performer: RoleInfo;
    if (placement === "split") {
      const second = this.#start("performer");
      const secondAdapter = await second.openAdapter(performerSpec);
      const secondKernels = await tune(second, secondAdapter);
      const { port1, port2 } = new MessageChannel();
      const [thinkerBytes, performerBytes] = await Promise.all([
        first.build({ ...build, port: port1 }),
        second.build({ ...build, port: port2 }),
      ]);
      thinker = { adapter, spec: thinkerSpec, allocatedBytes: thinkerBytes, kernels };
      performer = {
        adapter: secondAdapter,
        spec: performerSpec,
        allocatedBytes: performerBytes,
        kernels: secondKernels,
      };
    } else {
      const allocatedBytes = await first.build(build);
      thinker = performer = { adapter, spec: thinkerSpec, allocatedBytes, kernels };
    }
    if (this.#failure) throw this.#failure;
    this.#open = true;
    return { thinker, performer };
  }

  /** Sends to the thinker, in order. */
  post(message: ToRole, transfer: Transferable[] = []): void {
    this.#handles[0]?.post(message, transfer);
  }

  /** Stops the Workers and frees the adapters. */
  close(): void {
    this.#open = false;
    clearInterval(this.#beat);
    const error = new Error("the session was closed");
    for (const handle of this.#handles.splice(0)) handle.terminate(error);
  }

  /** Breaks the role that is, or includes, the one named. Only for tests. */
  break(role: "thinker" | "performer", what: Breakage): void {
    const handle = this.#handles.find((one) => one.role === role || one.role === "fused");
    handle?.post({ type: "break", what });
  }

  #start(role: Role): RoleHandle {
    const receive = (message: FromRole) => {
      if (message.type === "response") {
        for (const { heartbeat } of this.#handles) heartbeat.settle();
      }
      this.receive(message);
    };
    const handle = new RoleHandle(role, this.patience, receive, (error) => {
      this.#failure ??= error;
      if (!this.#open) return;
      this.#open = false;
      this.lost(error);
    });
    this.#handles.push(handle);
    return handle;
  }
}

/** True for answers that opening waits for. */
function isReply({ type }: FromRole): boolean {
  return ["adapter", "tuning", "tuned", "ready"].includes(type);
}

/** A role's Worker seen from the session. */
class RoleHandle {
  readonly heartbeat: Heartbeat;
  readonly #worker: Worker;
  readonly #replies = new Queue<FromRole>();
  /** The Worker holds the process's driver variables. */
  #choosing = false;

  constructor(
    readonly role: Role,
    patience: number,
    receive: (message: FromRole) => void,
    fail: (error: Error) => void,
  ) {
    this.#worker = new Worker(new URL("../roles/role_worker.ts", import.meta.url), {
      type: "module",
    });
    const stop = (error: Error) => {
      this.#replies.fail(error);
      fail(error);
    };
    this.heartbeat = new Heartbeat(() => this.post({ type: "ping" }), (beats) => {
      const seconds = Math.round((beats * beatMs(patience)) / 1000);
      stop(new Error(`${role}: gave no sign of life for ${seconds} s`));
    });
    this.#worker.onmessage = ({ data }: MessageEvent<FromRole>) => {
      this.heartbeat.heard();
      if (data.type === "pong") return;
      if (data.type === "error") {
        const message = data.isInput ? data.message : `${role}: ${data.message}`;
        stop(data.isInput ? new InputError(message) : new Error(message));
      } else if (isReply(data)) this.#replies.put(data);
      else receive(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      stop(new Error(`${role}: ${event.message}`));
    };
  }

  post(message: ToRole, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  /** Opens the adapter and gives its name. */
  openAdapter(spec: AdapterSpec): Promise<string> {
    return inTurn(async () => {
      this.#choosing = true;
      this.post({ type: "adapter", spec });
      try {
        const reply = await this.#replies.take();
        return reply.type === "adapter" ? reply.name : "";
      } finally {
        this.#choosing = false;
      }
    });
  }

  /** Lets it choose its kernels' variants. `begin` is called when it has to measure. */
  async tune(
    { request, ...rest }: Tune,
    begin: () => void,
  ): Promise<Tuning> {
    const { record, budgetMs } = request;
    const known = { record, ...(budgetMs === undefined ? {} : { budgetMs }) };
    this.post({ type: "tune", tune: { ...rest, request: known } });
    for (;;) {
      const reply = await this.#replies.take();
      if (reply.type === "tuned") return reply.tuning;
      begin();
    }
  }

  /** Builds the model; gives the bytes allocated on the adapter. */
  async build(build: Omit<Build, "role">): Promise<number> {
    const message: ToRole = { type: "build", build: { ...build, role: this.role } };
    this.post(message, build.port ? [build.port] : []);
    const reply = await this.#replies.take();
    return reply.type === "ready" ? reply.allocatedBytes : 0;
  }

  /** @param error For who still waits for a reply. */
  terminate(error: Error): void {
    const end = () => this.#worker.terminate();
    this.#worker.onmessage = end;
    this.#worker.onerror = (event) => {
      event.preventDefault();
      end();
    };
    // A Worker that ended now would never give the variables back: it ends with its answer.
    if (!this.#choosing) end();
    this.#replies.fail(error);
  }
}
