/** Where the roles run, and opening, watching and ending their Workers. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { InputError } from "../config/errors.ts";
import type { SessionOptions, Settings, TuningRequest } from "../model/settings.ts";
import type {
  Build,
  FromRole,
  FromThinker,
  RoleBytes,
  ToRole,
  ToThinker,
} from "../roles/messages.ts";
import { beatMs } from "./heartbeat.ts";
import { holdProcess, roleError, RoleWorker } from "./role_worker_handle.ts";
import { type AdapterSpec, driverFile } from "../../kernels/gpu/adapter.ts";
import type { Choices } from "../../kernels/gpu/device.ts";
import { listAdapters } from "../../kernels/gpu/probe.ts";

/** Where the roles run. */
export interface Places {
  placement: "split" | "fused";
  thinker: AdapterSpec;
  /** One adapter per performer; `fused`: the thinker's. */
  performers: AdapterSpec[];
}

/** What a role runs on. */
export interface RoleInfo {
  /** The adapter's name. */
  adapter: string;
  /** How it was asked for. */
  spec: AdapterSpec;
  /** Bytes of its buffers and textures when the session had opened: weights, what lasts for a unit, and
   * what each session of the model has of its own. */
  allocatedBytes: number;
  /** What this session has of its own: history and states. */
  sessionBytes: number;
  /** Kernel variants that were chosen by measurement, by kernel and shape; the others are the static
   * defaults. */
  kernels: Choices;
}

/** What the roles run on; `fused`: the performer's is the thinker's. */
export interface RoleInfos {
  /** The thinker's. */
  thinker: RoleInfo;
  /** The performers'. */
  performers: RoleInfo[];
}

/**
 * `auto` is split where the roles' adapters differ: because the specs do, or because no spec is given
 * and there are two graphics cards. On one adapter it is what measured faster: split on a CPU driver,
 * where one role's small kernels fill the other's gaps; fused on a graphics card, which spares the
 * transfers and the second copy of weights and history.
 *
 * @throws InputError when `fused` is asked for on two adapters
 */
export async function placeRoles(options: SessionOptions): Promise<Places> {
  const { placement = "auto", thinker = "default", performer = thinker } = options;
  if (placement === "fused" && performer !== thinker) {
    throw new InputError(
      `placement 'fused' has one adapter, but thinker is '${thinker}' and performer '${performer}': use 'split', or one adapter`,
    );
  }
  const places = { thinker, performers: [performer] };
  if (placement === "fused") return { placement, ...places };
  if (performer !== thinker) return { placement: "split", ...places };
  const cards = (await listAdapters()).filter(({ software }) => !software);
  const [card, otherCard] = cards;
  if (!options.thinker && !options.performer && card && otherCard) {
    return { placement: "split", thinker: card.spec, performers: [otherCard.spec] };
  }
  if (placement === "split") return { placement, ...places };
  const onCard = thinker === "default"
    ? cards.length > 0
    : cards.some((card) => card.driverFile === driverFile(thinker));
  return { placement: onCard ? "fused" : "split", ...places };
}

/** A role's Worker, its adapter open. */
interface Opened {
  role: Build["role"];
  worker: RoleWorker;
  on: Omit<RoleInfo, keyof RoleBytes>;
}

/** The Workers of one placement, with a model for any number of sessions: the thinker's first, then one
 * per performer; `fused` has one for both roles. */
export class Roles {
  private readonly places: Places;
  private readonly patience: number;
  private readonly lost: () => void;
  readonly #workers: RoleWorker[] = [];
  readonly #sessions = new Set<SessionRoles>();
  readonly #beat: ReturnType<typeof setInterval>;
  #opened: Opened[] = [];
  #failure: Error | undefined;

  /**
   * @param patience Milliseconds for which a role may be silent, see `Heartbeat`.
   * @param lost Called when a role fails: its sessions are told too, and no more can be opened.
   */
  constructor(places: Places, patience: number, lost: () => void) {
    this.places = places;
    this.patience = patience;
    this.lost = lost;
    this.#beat = setInterval(() => {
      for (const { heartbeat } of [...this.#workers]) heartbeat.beat();
    }, beatMs(patience));
    Deno.unrefTimer(this.#beat);
  }

  /**
   * Starts the Workers, opens their adapters, and chooses kernels where that is asked for.
   *
   * @param settings What kernels are chosen for.
   * @throws Error when a role fails, or `close` is called meanwhile.
   */
  async open(
    checkpoint: Checkpoint,
    settings: Settings,
    tuning: TuningRequest | undefined,
  ): Promise<this> {
    const { placement, thinker, performers } = this.places;
    const several = performers.length > 1;
    const wanted: (readonly [role: Build["role"], name: string, spec: AdapterSpec])[] =
      placement === "fused" ? [["fused", "fused", thinker]] : [
        ["thinker", "thinker", thinker],
        ...performers.map((spec, i) =>
          ["performer", several ? `performer ${i}` : "performer", spec] as const
        ),
      ];
    const workers = wanted.map(([, name]) =>
      new RoleWorker(name, this.patience, (error) => this.#fail(error))
    );
    this.#workers.push(...workers);
    // One after the other: each finds what the one before it measured and isn't disturbed by it.
    for (const [i, worker] of workers.entries()) {
      const [role, , spec] = wanted[i] ?? ["fused", "", thinker];
      const adapter = await worker.openAdapter(spec);
      let kernels: Choices = {};
      if (tuning) {
        const request = { config: checkpoint.config, settings, request: tuning };
        const tuned = await worker.tune(request, () => tuning.begin?.(adapter));
        // Roles that are rebuilt find it, and choose alike.
        tuning.record = tuned.record;
        tuning.end?.(adapter, tuned);
        kernels = tuned.choices;
      }
      worker.send({ type: "model", checkpoint });
      this.#opened.push({ role, worker, on: { adapter, spec, kernels } });
    }
    for (const worker of this.#workers) worker.release();
    return this;
  }

  /**
   * Builds a session's part of each Worker: with prefill, or as it was in the snapshot.
   *
   * @param receive Takes what the thinker gives.
   * @param lost Called once, when a role fails after the session has opened.
   * @throws Error when a role fails, or the session or the Workers are closed meanwhile.
   */
  async openSession(
    build: Pick<Build, "settings" | "snapshot" | "details" | "inspect" | "textOnly">,
    receive: (message: FromThinker) => void,
    lost: (error: Error) => void,
  ): Promise<{ session: SessionRoles; infos: RoleInfos }> {
    if (this.#failure) throw this.#failure;
    const session = new SessionRoles((message) => {
      if (message.type === "response") {
        for (const { heartbeat } of this.#workers) heartbeat.settle();
      }
      receive(message);
    }, () => this.#sessions.delete(session));
    this.#sessions.add(session);
    try {
      const [port1, port2] = this.#opened.length > 1 ? portPair() : [null, null];
      const infos = await Promise.all(
        this.#opened.map(async ({ worker, role, on }, i): Promise<RoleInfo> => {
          const peer = i === 0 ? port1 : port2;
          return { ...on, ...await session.build(worker, { ...build, role, peer }) };
        }),
      );
      const [thinker, ...performers] = infos;
      if (!thinker) throw new Error("a session needs a thinker");
      session.lost = lost;
      return {
        session,
        infos: { thinker, performers: performers.length > 0 ? performers : [thinker] },
      };
    } catch (error) {
      session.close();
      throw error;
    }
  }

  /** Stops the Workers and frees the adapters. */
  close(): void {
    this.#fail(new Error("the session was closed"));
  }

  #fail(error: Error): void {
    if (this.#failure) return;
    this.#failure = error;
    clearInterval(this.#beat);
    for (const worker of this.#workers) worker.terminate(error);
    this.lost();
    for (const session of [...this.#sessions]) session.fail(error);
  }
}

function portPair(): [MessagePort, MessagePort] {
  const { port1, port2 } = new MessageChannel();
  return [port1, port2];
}

/** One session's part of each Worker. */
export class SessionRoles {
  /** Called once, when a role fails. */
  lost: ((error: Error) => void) | undefined;
  readonly #receive: (message: FromThinker) => void;
  readonly #closed: () => void;
  /** The thinker's first. */
  readonly #ports: MessagePort[] = [];
  readonly #building: PromiseWithResolvers<RoleBytes>[] = [];

  constructor(receive: (message: FromThinker) => void, closed: () => void) {
    this.#receive = receive;
    this.#closed = closed;
  }

  /** Builds its part of a Worker. */
  build(worker: RoleWorker, build: Omit<Build, "port">): Promise<RoleBytes> {
    const [own, port] = portPair();
    this.#ports.push(own);
    const built = Promise.withResolvers<RoleBytes>();
    this.#building.push(built);
    own.onmessage = ({ data }: MessageEvent<FromRole>) => {
      worker.heartbeat.heard();
      if (data.type === "ready") built.resolve(data.bytes);
      else if (data.type === "error") built.reject(roleError(worker.name, data));
      else this.#receive(data);
    };
    const { peer } = build;
    worker.send({ type: "build", build: { ...build, port } }, peer ? [port, peer] : [port]);
    return built.promise;
  }

  /** Whether the process goes on until the thinker has answered. */
  hold(holds: boolean): void {
    this.#ports.forEach((port, i) => holdProcess(port, holds && i === 0));
  }

  /** Sends to the thinker, in order. */
  post(message: ToThinker, transfer: Transferable[] = []): void {
    this.#ports[0]?.postMessage(message, transfer);
  }

  /** The Workers are gone. */
  fail(error: Error): void {
    this.#leave(error);
    this.lost?.(error);
  }

  /** Frees what the session has in the Workers. */
  close(): void {
    for (const port of this.#ports) port.postMessage({ type: "close" } satisfies ToRole);
    this.#leave(new Error("the session was closed"));
  }

  #leave(error: Error): void {
    for (const port of this.#ports.splice(0)) {
      port.onmessage = null;
      // The Worker closes it.
      holdProcess(port, false);
    }
    for (const { reject, promise } of this.#building.splice(0)) {
      promise.catch(() => {});
      reject(error);
    }
    this.#closed();
  }
}
