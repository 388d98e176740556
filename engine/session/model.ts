/** Opening a model and its sessions. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { openTokenizer, type Tokenizer } from "../checkpoint/tokenizer.ts";
import { number, readOptions, type RulesOf, whole } from "../config/option_rules.ts";
import { givenCheckpoint } from "../checkpoint/given.ts";
import {
  resolveSettings,
  type SessionOptions,
  sessionRules,
  type Settings,
} from "../model/settings.ts";
import type { Snapshot } from "../roles/snapshot.ts";
import { driversUnloaded } from "../../kernels/gpu/adapter.ts";
import { checkSnapshot, resumeSettings } from "./resume.ts";
import { placeRoles, type Places, Roles } from "./roles.ts";
import { type Durability, type Opening, WorkerSession } from "./session.ts";

/** What is the same in all sessions of a model: where they run, and how weights are kept. */
export type ModelOptions = Pick<
  SessionOptions,
  "placement" | "thinker" | "performer" | "precision" | "tuning"
>;

const { placement, thinker, performer, precision, tuning, ...ownRules } = sessionRules;
const modelRules = {
  placement,
  thinker,
  performer,
  precision,
  tuning,
} satisfies RulesOf<ModelOptions>;

const durabilityRules = {
  resume: { kind: "object" },
  snapshotEvery: whole(0, 1e9),
  patience: number(1, 1e9),
  details: { kind: "flag" },
  inspect: { kind: "flag" },
  textOnly: { kind: "flag" },
  untilExit: { kind: "flag" },
  signal: { kind: "signal" },
} as const satisfies RulesOf<Durability>;
const { patience: _, untilExit: __, ...ownDurability } = durabilityRules;

/**
 * A checkpoint on its adapters, for any number of sessions: they share weights and kernels, and each
 * has its own history and states. Sessions of one model answer at the same time, each as if it were
 * alone.
 */
export class Model {
  readonly #checkpoint: Checkpoint;
  readonly #options: ModelOptions;
  readonly #tokenizer: Tokenizer;
  readonly #places: Places;
  readonly #patience: number;
  readonly #sessions = new Set<WorkerSession>();
  /** The Workers, or those that are being opened. */
  #roles: Roles | undefined;
  #opened: Promise<Roles> | undefined;
  #isClosed = false;
  /** The process has nothing left to do, and Workers that are there when it exits may crash it. */
  readonly #end = (event: Event) => {
    event.preventDefault();
    this.close();
  };

  /** Made by `openModel`. */
  constructor(
    checkpoint: Checkpoint,
    options: ModelOptions,
    tokenizer: Tokenizer,
    places: Places,
    patience: number,
  ) {
    this.#checkpoint = checkpoint;
    this.#options = options;
    this.#tokenizer = tokenizer;
    this.#places = places;
    this.#patience = patience;
  }

  /**
   * Opens a session: computes prefill, or restores a snapshot. The first one puts the weights on the
   * adapters.
   *
   * @throws InputError when an option is out of range, or the snapshot is damaged or fits neither
   * checkpoint nor options. The signal's reason.
   */
  async openSession(
    options: Omit<SessionOptions, keyof ModelOptions> = {},
    durability: Omit<Durability, "patience" | "untilExit"> = {},
  ): Promise<WorkerSession> {
    // What is the model's can't be asked of its sessions.
    const all = { ...readOptions(options, ownRules), ...this.#options };
    const kept = readOptions(durability, ownDurability, "durability");
    return await this.begin(prepare(this.#checkpoint, this.#tokenizer, all, kept));
  }

  /** Opens a prepared session.
   *
   * @param isOnly The model is closed with it; otherwise by `close()`, or with the process.
   * @internal */
  async begin({ signal, snapshot, ...rest }: Prepared, isOnly = false): Promise<WorkerSession> {
    if (this.#isClosed) throw new Error("the model was closed: open it again");
    const session: WorkerSession = new WorkerSession({
      ...rest,
      placement: this.#places.placement,
      roles: () => this.open(rest.settings),
      close: async () => {
        this.#sessions.delete(session);
        if (isOnly) await this.close();
      },
    }, snapshot);
    this.#sessions.add(session);
    const abort = () => session.close();
    signal?.addEventListener("abort", abort);
    try {
      signal?.throwIfAborted();
      await session.open();
      signal?.throwIfAborted();
      return session;
    } catch (error) {
      await session.close();
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** The model's Workers: they are opened at the first call, and anew where they failed.
   *
   * @param settings What kernels are chosen for, where that is asked for.
   * @internal */
  async open(settings: Settings): Promise<Roles> {
    if (this.#isClosed) throw new Error("the model was closed");
    if (!this.#opened) {
      addEventListener("beforeunload", this.#end);
      const roles = this.#roles = new Roles(this.#places, this.#patience, () => {
        if (this.#roles === roles) this.#roles = this.#opened = undefined;
      });
      this.#opened = roles.open(this.#checkpoint, settings, this.#options.tuning).catch((error) => {
        roles.close();
        throw error;
      });
    }
    return await this.#opened;
  }

  /** Closes its sessions and frees the adapters. Await it before the process exits. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    removeEventListener("beforeunload", this.#end);
    await Promise.all([...this.#sessions].map((session) => session.close()));
    this.#roles?.close();
    await driversUnloaded();
  }

  /** `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A session's options, checked. */
interface Prepared extends Omit<Opening, "placement" | "roles" | "close"> {
  snapshot: Snapshot | null;
  patience: number;
  signal: AbortSignal | undefined;
}

function prepare(
  checkpoint: Checkpoint,
  tokenizer: Tokenizer,
  options: SessionOptions,
  durability: Durability,
): Prepared {
  const given = readOptions(durability, durabilityRules, "durability");
  const { resume, snapshotEvery = 0, patience = 60_000, signal } = given;
  const { details = false, inspect = false, textOnly = false } = given;
  const snapshot = resume ? checkSnapshot(resume, checkpoint) : null;
  const settings = snapshot
    ? resumeSettings(checkpoint, options, snapshot, tokenizer)
    : resolveSettings(checkpoint, options, tokenizer);
  return {
    ...{ checkpoint, tokenizer, settings, snapshot, snapshotEvery, patience },
    ...{ details, inspect, textOnly, signal },
  };
}

/**
 * Opens a checkpoint on its adapters, for any number of sessions.
 *
 * @throws InputError when an option is out of range or an adapter can't be had. The signal's reason.
 */
export async function openModel(
  checkpoint: Checkpoint,
  options: ModelOptions = {},
  durability: Pick<Durability, "patience" | "signal"> = {},
): Promise<Model> {
  givenCheckpoint(checkpoint);
  const given = readOptions(options, modelRules);
  const tokenizer = openTokenizer(checkpoint.tokenizer, checkpoint.config);
  const { settings, patience, signal } = prepare(checkpoint, tokenizer, given, durability);
  signal?.throwIfAborted();
  const model = new Model(checkpoint, given, tokenizer, await placeRoles(given), patience);
  const abort = () => model.close();
  signal?.addEventListener("abort", abort);
  try {
    await model.open(settings);
    return model;
  } catch (error) {
    await model.close();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
    signal?.throwIfAborted();
  }
}

/**
 * Opens a session on a model of its own: opens the adapters, puts the model on them, computes prefill
 * and hands it over, or restores a snapshot.
 *
 * @throws InputError when an option is out of range, the snapshot is damaged or fits neither
 * checkpoint nor options, or an adapter can't be had. The signal's reason.
 */
export async function openSession(
  checkpoint: Checkpoint,
  options: SessionOptions = {},
  durability: Durability = {},
): Promise<WorkerSession> {
  givenCheckpoint(checkpoint);
  const given = readOptions(options, sessionRules);
  const tokenizer = openTokenizer(checkpoint.tokenizer, checkpoint.config);
  const prepared = prepare(checkpoint, tokenizer, given, durability);
  prepared.signal?.throwIfAborted();
  const places = await placeRoles(given);
  const model = new Model(checkpoint, given, tokenizer, places, prepared.patience);
  return await model.begin(prepared, !durability.untilExit);
}
