/** Where the roles run, and opening, watching and ending their Workers. */
import { InputError } from "../config/errors.ts";
import type { SessionOptions, TuningRequest } from "../model/settings.ts";
import type { Build, FromThinker, ToThinker } from "../roles/messages.ts";
import { beatMs } from "./heartbeat.ts";
import { RoleWorker } from "./role_worker_handle.ts";
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
  /** Bytes of its buffers and textures. */
  allocatedBytes: number;
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

/** The Workers of one placement: the thinker's first, then one per performer; `fused` has one for
 * both roles. */
export class Roles {
  private readonly places: Places;
  private readonly patience: number;
  private readonly receive: (message: FromThinker) => void;
  private readonly lost: (error: Error) => void;
  readonly #workers: RoleWorker[] = [];
  readonly #beat: ReturnType<typeof setInterval>;
  #failure: Error | undefined;
  #isOpen = false;

  /**
   * @param patience Milliseconds for which a role may be silent, see `Heartbeat`.
   * @param receive Takes what the thinker gives.
   * @param lost Called once, when a role fails after `open`.
   */
  constructor(
    places: Places,
    patience: number,
    receive: (message: FromThinker) => void,
    lost: (error: Error) => void,
  ) {
    this.places = places;
    this.patience = patience;
    this.receive = receive;
    this.lost = lost;
    this.#beat = setInterval(() => {
      for (const { heartbeat } of [...this.#workers]) heartbeat.beat();
    }, beatMs(patience));
  }

  /**
   * Starts the Workers, opens their adapters, chooses kernels where that is asked for, and builds the
   * model on them: with prefill, or as it was in the snapshot.
   *
   * @throws Error when a role fails, or `close` is called meanwhile.
   */
  async open(
    build: Omit<Build, "role" | "ports">,
    tuning: TuningRequest | undefined,
  ): Promise<RoleInfos> {
    const { checkpoint, settings } = build;
    const { placement, thinker, performers } = this.places;
    const isFused = placement === "fused";
    const opened: { worker: RoleWorker; on: Omit<RoleInfo, "allocatedBytes"> }[] = [];
    // One after the other: only one Worker at a time may choose its adapter, and each finds what the
    // one before it measured and isn't disturbed by it.
    const openWorker = async (role: Build["role"], name: string, spec: AdapterSpec) => {
      const worker = this.#start(role, name);
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
      opened.push({ worker, on: { adapter, spec, kernels } });
    };
    if (isFused) await openWorker("fused", "fused", thinker);
    else {
      await openWorker("thinker", "thinker", thinker);
      for (const [i, spec] of performers.entries()) {
        await openWorker("performer", performers.length > 1 ? `performer ${i}` : "performer", spec);
      }
    }
    const channels = opened.slice(1).map(() => new MessageChannel());
    const [thinkerInfo, ...performerInfos] = await Promise.all(
      opened.map(async ({ worker, on }, i): Promise<RoleInfo> => {
        const channel = channels[i - 1];
        const ports = channel ? [channel.port2] : channels.map(({ port1 }) => port1);
        return { ...on, allocatedBytes: await worker.build({ ...build, ports }) };
      }),
    );
    if (this.#failure) throw this.#failure;
    if (!thinkerInfo) throw new Error("a session needs a thinker");
    this.#isOpen = true;
    return { thinker: thinkerInfo, performers: isFused ? [thinkerInfo] : performerInfos };
  }

  /** Sends to the thinker, in order. */
  post(message: ToThinker, transfer: Transferable[] = []): void {
    this.#workers[0]?.send(message, transfer);
  }

  /** Stops the Workers and frees the adapters. */
  close(): void {
    this.#isOpen = false;
    clearInterval(this.#beat);
    const error = new Error("the session was closed");
    for (const worker of this.#workers.splice(0)) worker.terminate(error);
  }

  #start(role: Build["role"], name: string): RoleWorker {
    const receive = (message: FromThinker) => {
      if (message.type === "response") {
        for (const { heartbeat } of this.#workers) heartbeat.settle();
      }
      this.receive(message);
    };
    const worker = new RoleWorker(role, name, this.patience, receive, (error) => {
      this.#failure ??= error;
      if (!this.#isOpen) return;
      this.#isOpen = false;
      this.lost(error);
    });
    this.#workers.push(worker);
    return worker;
  }
}
