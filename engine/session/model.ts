/** Opening a model and its sessions. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { openTokenizer, type Tokenizer } from "../checkpoint/tokenizer.ts";
import { number, readOptions, type RulesOf, whole } from "../config/option_rules.ts";
import { givenCheckpoint } from "../checkpoint/given.ts";
import { resolveSettings, type SessionOptions, sessionRules } from "../model/settings.ts";
import { checkSnapshot, resumeSettings } from "./resume.ts";
import { placeRoles, type Places } from "./roles.ts";
import { type Durability, WorkerSession } from "./session.ts";

/** What is the same in all sessions of a model: where they run, and how weights are kept. */
export type ModelOptions = Pick<
  SessionOptions,
  "placement" | "thinker" | "performer" | "precision" | "tuning"
>;

const modelRules = (({ placement, thinker, performer, precision, tuning }) => ({
  placement,
  thinker,
  performer,
  precision,
  tuning,
}))(sessionRules) satisfies RulesOf<ModelOptions>;

const durabilityRules = {
  resume: { kind: "object" },
  snapshotEvery: whole(0, 1e9),
  patience: number(1, 1e9),
  details: { kind: "flag" },
  signal: { kind: "signal" },
} as const satisfies RulesOf<Durability>;

/**
 * A checkpoint on its adapters, for any number of sessions: they share weights and kernels, and each
 * has its own history and states. Sessions of one model answer at the same time, each as if it were
 * alone.
 */
export class Model {
  readonly #checkpoint: Checkpoint;
  readonly #options: ModelOptions;
  readonly #places: Places;
  readonly #tokenizer: Tokenizer;
  readonly #sessions = new Set<WorkerSession>();

  /** Made by `openModel`. */
  constructor(checkpoint: Checkpoint, options: ModelOptions, places: Places, tokenizer: Tokenizer) {
    this.#checkpoint = checkpoint;
    this.#options = options;
    this.#places = places;
    this.#tokenizer = tokenizer;
  }

  /**
   * Opens a session: computes prefill, or restores a snapshot.
   *
   * @throws InputError when an option is out of range, or the snapshot is damaged or fits neither
   * checkpoint nor options. The signal's reason.
   */
  async openSession(
    options: Omit<SessionOptions, keyof ModelOptions> = {},
    durability: Durability = {},
  ): Promise<WorkerSession> {
    const { resume, snapshotEvery = 0, patience = 60_000, details = false, signal } = readOptions(
      durability,
      durabilityRules,
      "durability",
    );
    signal?.throwIfAborted();
    const [checkpoint, tokenizer] = [this.#checkpoint, this.#tokenizer];
    const all = { ...options, ...this.#options };
    const snapshot = resume ? checkSnapshot(resume, checkpoint) : null;
    const settings = snapshot
      ? resumeSettings(checkpoint, all, snapshot, tokenizer)
      : resolveSettings(checkpoint, all, tokenizer);
    const { tuning } = this.#options;
    const [places] = [this.#places];
    const opening = {
      checkpoint,
      settings,
      tokenizer,
      places,
      tuning,
      snapshotEvery,
      patience,
      details,
    };
    const session = new WorkerSession(opening, snapshot);
    this.#sessions.add(session);
    const abort = () => session.close();
    signal?.addEventListener("abort", abort);
    try {
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

  /** Closes its sessions and frees the adapters. */
  async close(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.close()));
  }

  /** `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Opens a checkpoint for any number of sessions.
 *
 * @throws InputError when an option is out of range or an adapter can't be had. The signal's reason.
 */
export async function openModel(
  checkpoint: Checkpoint,
  options: ModelOptions = {},
  durability: Pick<Durability, "signal"> = {},
): Promise<Model> {
  const { signal } = readOptions<Durability>(durability, durabilityRules, "durability");
  signal?.throwIfAborted();
  givenCheckpoint(checkpoint);
  const given = readOptions(options, modelRules);
  const tokenizer = openTokenizer(checkpoint.tokenizer, checkpoint.config);
  return new Model(checkpoint, given, await placeRoles(given), tokenizer);
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
  const { placement, thinker, performer, precision, tuning, ...own } = readOptions(
    options,
    sessionRules,
  );
  const shared = { placement, thinker, performer, precision, tuning } as ModelOptions;
  const model = await openModel(checkpoint, shared, durability);
  return await model.openSession(own, durability);
}
