/**
 * A session: observations in, responses out, in order, through a thinker and a performer that live
 * in Workers. It can be saved between two units and resumed, and survives the loss of its Workers.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Storage, WeightStorage } from "../config/config.ts";
import { InputError } from "../config/errors.ts";
import { Queue } from "../roles/queue.ts";
import { checkSnapshot, resumeSettings } from "./resume.ts";
import type { Breakage, FromRole, ToRole } from "../roles/role_worker.ts";
import { placeRoles, type Places, type RoleInfo, Roles } from "./roles.ts";
import type { SavedState } from "../roles/saved_state.ts";
import {
  requireNumber,
  requireWhole,
  resolveSettings,
  type SessionOptions,
  type Settings,
  type TuningRequest,
} from "../model/settings.ts";
import { makeSnapshot, type Snapshot } from "../roles/snapshot.ts";
import { TypedText } from "./typed_text.ts";
import { openTokenizer, TextStream, type Tokenizer } from "../checkpoint/tokenizer.ts";
import { clock, type RawResponse } from "../roles/ticks.ts";
import {
  type Observation,
  type Response,
  type UnitLayout,
  unitLayout,
} from "../checkpoint/unit.ts";
import { driversUnloaded } from "../../kernels/gpu/adapter.ts";

/** Facts about an open session that a reader of its results needs. */
export interface SessionInfo {
  placement: "split" | "fused";
  thinker: RoleInfo;
  performer: RoleInfo;
  /** Storage of history, codecs and embeddings, and of the layers' weights. */
  storage: Storage;
  weights: WeightStorage;
  checkpointDigest: string;
  parameters: number;
  tokensPerUnit: number;
  prefillTokens: number;
  /** The first unit that this session answers; more than 0 when it resumed. */
  firstUnit: number;
  settings: Omit<Settings, "personaFrame" | "voice" | "promptIds">;
}

/** How a session begins and what it keeps for the worst. */
export interface Durability {
  /** Go on after this snapshot. Options that aren't given are the snapshot's; another seed, solver,
   * sampling or later input makes it a fork. */
  resume?: Snapshot;
  /**
   * Take a snapshot every so many units and keep it in memory, with the observations since: when a
   * device is lost or a Worker dies the roles are rebuilt from it and the stream goes on. 0: off.
   */
  snapshotEvery?: number;
  /** Milliseconds for which a role may give no sign of life before it counts as dead (60,000); more
   * before the first response, and where ticks take long. */
  patience?: number;
}

/** A rebuild of the roles from the snapshot in memory. */
export interface Recovery {
  /** The first unit that the failure delayed. */
  unit: number;
  /** What failed, on one line. */
  reason: string;
  /** The unit that the snapshot was taken after; -1: the session began anew. */
  snapshot: number;
  /** Milliseconds from the failure until the roles were ready to catch up. */
  ms: number;
}

/** Units that may be under way: pushed, and their response not yet taken. */
const unitsUnderWay = 4;

/** Rebuilds without a new response in between, after which a session gives up. */
const maxRecoveries = 3;

/** Opens a session: opens the adapters, puts the model on them, computes prefill and hands it over,
 * or restores a snapshot.
 *
 * @throws InputError when an option is out of range, the snapshot is damaged or fits neither
 * checkpoint nor options, or an adapter can't be had. */
export function openSession(
  checkpoint: Checkpoint,
  options: SessionOptions = {},
  durability: Durability = {},
): Promise<Session> {
  return Session.open(checkpoint, options, durability);
}

export class Session implements AsyncIterable<Response> {
  readonly layout: UnitLayout;
  /** What failed and was mended so far. */
  readonly recoveries: Recovery[] = [];
  #info: SessionInfo | undefined;
  #places: Places | undefined;
  #roles: Roles | undefined;
  #tuning: TuningRequest | null = null;
  /** The roles are open and have everything that was sent so far. */
  #ready = false;
  #done = false;
  #closed = false;
  readonly #responses = new Queue<Response | null>();
  #room: (() => void)[] = [];
  #underWay = 0;
  #ended = false;
  #failure: Error | undefined;
  readonly #typed: TypedText;
  readonly #text: TextStream;
  /** The unit of the next observation, and of the next response. */
  #nextIn: number;
  #nextOut: number;
  /** The newest snapshot, and those asked for since, oldest first. */
  #snapshot: Snapshot | null;
  readonly #requests: SnapshotRequest[] = [];
  /** What was sent to the thinker since the newest snapshot; null: a failure is final. */
  readonly #journal: ToRole[] | null;
  /** Rebuilds since the last new response. */
  #attempts = 0;

  private constructor(
    private readonly checkpoint: Checkpoint,
    private readonly settings: Settings,
    private readonly tokenizer: Tokenizer,
    private readonly snapshotEvery: number,
    private readonly patience: number,
    resume: Snapshot | null,
  ) {
    this.layout = unitLayout(checkpoint.config);
    this.#snapshot = resume;
    this.#typed = new TypedText(this.layout.userText, resume?.meta.waiting);
    this.#text = new TextStream(tokenizer, Uint8Array.from(resume?.meta.unfinished ?? []));
    this.#nextIn = this.#nextOut = resume ? resume.meta.unit + 1 : 0;
    this.#journal = snapshotEvery > 0 ? [] : null;
  }

  /** See `openSession`. */
  static async open(
    checkpoint: Checkpoint,
    options: SessionOptions,
    { resume, snapshotEvery = 0, patience = 60_000 }: Durability,
  ): Promise<Session> {
    requireWhole("snapshot every", snapshotEvery, [0, 1e9]);
    requireNumber("patience", patience, [1, 1e9]);
    const tokenizer = openTokenizer(checkpoint.tokenizer, checkpoint.config);
    const snapshot = resume ? checkSnapshot(resume, checkpoint) : null;
    const settings = snapshot
      ? resumeSettings(checkpoint, options, snapshot, tokenizer)
      : resolveSettings(checkpoint, options, tokenizer);
    const session = new Session(
      checkpoint,
      settings,
      tokenizer,
      snapshotEvery,
      patience,
      snapshot,
    );
    session.#tuning = options.tuning ? keepingRecord(options.tuning) : null;
    try {
      session.#places = await placeRoles(options);
      await session.#start(session.#places);
      session.#ready = true;
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** Starts the roles where the newest snapshot says, or anew. */
  async #start(places: Places): Promise<void> {
    const { checkpoint, settings, layout } = this;
    const roles = new Roles(
      places,
      this.patience,
      (message) => this.#receive(message),
      (error) => this.#lost(error),
    );
    this.#roles = roles;
    const snapshot = this.#snapshot;
    const { thinker, performer } = await roles.open(
      checkpoint,
      settings,
      snapshot,
      this.#tuning,
    );
    const { promptIds, personaFrame, voice, ...shown } = settings;
    const voiceUnits = (voice?.length ?? 0) / layout.agentSamples;
    let parameters = 0;
    for (const { shape } of checkpoint.tensors.values()) {
      parameters += shape.reduce((a, b) => a * b, 1);
    }
    this.#info = {
      placement: places.placement,
      thinker,
      performer,
      storage: settings.storage,
      weights: settings.weights,
      checkpointDigest: checkpoint.digest,
      parameters,
      tokensPerUnit: layout.tokens,
      prefillTokens: promptIds.length + voiceUnits * layout.agentAudio +
        (personaFrame ? layout.agentVideo : 0),
      firstUnit: this.#info?.firstUnit ?? this.#nextOut,
      settings: shown,
    };
  }

  /** What the session runs on and with. */
  get info(): SessionInfo {
    if (!this.#info) throw new Error("the session isn't open");
    return this.#info;
  }

  /**
   * Gives the next unit's observation. Resolves when there is room for another: a reader that takes
   * no responses makes the writer wait. The arrays are copied and stay the caller's.
   *
   * @throws InputError when a length isn't that of one unit.
   */
  async push({ audio, frames, text }: Observation): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (this.#ended) throw new Error("the session's input has ended");
    const { userSamples, frames: count } = this.layout;
    const { width, height } = this.checkpoint.config.observation.video;
    requireLength("audio samples", audio, userSamples);
    requireLength("frame bytes", frames, count * width * height * 3);
    if (text) this.#typed.type(this.tokenizer.encode(text));
    const input = {
      audio: audio?.slice() ?? null,
      frames: frames?.slice() ?? null,
      typed: this.#typed.take(),
      arrived: clock(),
    };
    this.#underWay++;
    const transfer = [audio && input.audio?.buffer, frames && input.frames?.buffer]
      .filter((buffer) => buffer instanceof ArrayBuffer);
    this.#send({ type: "unit", input }, transfer);
    this.#nextIn++;
    if (this.snapshotEvery > 0 && this.#nextIn % this.snapshotEvery === 0) this.#request();
    if (this.#underWay >= unitsUnderWay) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
      if (this.#failure) throw this.#failure;
    }
  }

  /** Says that no more observations come; the responses still under way follow. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#send({ type: "end" });
  }

  /**
   * Takes a snapshot after the last unit that was pushed, as soon as it is answered; responses need
   * not be taken for that. In the `paper` schedule its response comes early, so that nothing is under
   * way in between.
   */
  snapshot(): Promise<Snapshot> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#ended) {
      return Promise.reject(
        new Error("the session's input has ended: snapshot() comes before end()"),
      );
    }
    return this.#request();
  }

  /** The responses, in order, until the input has ended and the last one was given. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Response> {
    for (;;) {
      const response = await this.#responses.take();
      if (!response) return;
      this.#underWay--;
      this.#room.shift()?.();
      yield response;
    }
  }

  /** Pushes all observations and gives the responses as they come: `push`, `end` and iteration in
   * one. An error of the input ends the responses with that error. */
  async *respond(
    observations: Iterable<Observation> | AsyncIterable<Observation>,
  ): AsyncGenerator<Response> {
    const feed = async () => {
      for await (const observation of observations) await this.push(observation);
      this.end();
    };
    feed().catch((error) => this.#fail(error instanceof Error ? error : new Error(String(error))));
    yield* this;
  }

  /** Stops the Workers and frees the adapters. Await it before the process exits. */
  async close(): Promise<void> {
    const isFirst = !this.#closed;
    this.#ended = true;
    this.#closed = true;
    this.#roles?.close();
    this.#responses.put(null);
    this.#release();
    if (isFirst) await driversUnloaded();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Destroys a role's device or lets its Worker die. Only for tests. */
  break(role: "thinker" | "performer", what: Breakage): void {
    this.#roles?.break(role, what);
  }

  #send(message: ToRole, transfer: Transferable[] = []): void {
    // What stays in the journal is copied to the Worker.
    this.#journal?.push(message);
    if (this.#ready) this.#roles?.post(message, this.#journal ? [] : transfer);
  }

  #request(): Promise<Snapshot> {
    const { promise, resolve, reject } = Promise.withResolvers<Snapshot>();
    // Nobody may be waiting for it.
    promise.catch(() => {});
    this.#requests.push({ waiting: this.#typed.waiting, resolve, reject });
    this.#send({ type: "save", request: { since: this.#snapshot?.meta.unit ?? null } });
    return promise;
  }

  #receive(message: FromRole): void {
    if (message.type === "response") this.#respond(message.response);
    else if (message.type === "state") this.#save(message.state);
    else if (message.type === "done") {
      this.#done = true;
      this.#responses.put(null);
    }
  }

  #respond(response: RawResponse): void {
    // After a recovery the units since the snapshot come again.
    if (response.unit < this.#nextOut) return;
    this.#nextOut++;
    this.#attempts = 0;
    const text = response.tokens.map((id) => this.#text.push(id)).join("");
    this.#responses.put({ ...response, text });
  }

  #save(state: SavedState): void {
    const request = this.#requests.shift();
    if (!request) throw new Error("a snapshot came that nobody asked for");
    this.#snapshot = makeSnapshot(this.checkpoint.digest, this.settings, this.#snapshot, state, {
      waiting: request.waiting,
      unfinished: [...this.#text.pending],
    });
    const journal = this.#journal;
    journal?.splice(0, 1 + journal.findIndex(({ type }) => type === "save"));
    request.resolve(this.#snapshot);
  }

  /** A role failed while the session was open. */
  #lost(error: Error): void {
    if (this.#done) return;
    if (this.#journal && !(error instanceof InputError)) this.#recover(error);
    else this.#fail(error);
  }

  /** Builds the roles anew from the newest snapshot and sends them what came since. */
  async #recover(error: Error): Promise<void> {
    const start = clock();
    const isOver = () => this.#closed || this.#failure !== undefined;
    let failure = error;
    this.#ready = false;
    while (this.#places && !isOver()) {
      this.#roles?.close();
      if (this.#attempts === maxRecoveries) {
        const gaveUp = `${failure.message} (after ${maxRecoveries} recoveries without a response)`;
        return this.#fail(new Error(gaveUp, { cause: failure }));
      }
      // A device that was reset may take a moment to come back.
      await new Promise((resolve) => setTimeout(resolve, 200 * this.#attempts));
      if (isOver()) return;
      this.#attempts++;
      try {
        await this.#start(this.#places);
      } catch (again) {
        failure = again instanceof Error ? again : new Error(String(again));
        continue;
      }
      for (const message of this.#journal ?? []) this.#roles?.post(message);
      this.#ready = true;
      this.recoveries.push({
        unit: this.#nextOut,
        reason: error.message,
        snapshot: this.#snapshot?.meta.unit ?? -1,
        ms: clock() - start,
      });
      return;
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#responses.fail(error);
    this.#release();
  }

  /** Lets go everybody who waits for room or a snapshot. */
  #release(): void {
    for (const resolve of this.#room.splice(0)) resolve();
    const error = this.#failure ?? new Error("the session was closed");
    for (const { reject } of this.#requests.splice(0)) reject(error);
  }
}

/** The same request, which remembers what was found: roles that are rebuilt choose alike. */
function keepingRecord(tuning: TuningRequest): TuningRequest {
  const kept: TuningRequest = {
    ...tuning,
    end: (adapter, found) => {
      kept.record = found.record;
      tuning.end?.(adapter, found);
    },
  };
  return kept;
}

/** A snapshot under way. */
interface SnapshotRequest {
  /** Typed text without a slot at the snapshot's moment. */
  waiting: number[];
  resolve(snapshot: Snapshot): void;
  reject(error: Error): void;
}

function requireLength(what: string, data: { length: number } | null, length: number): void {
  if (!data || data.length === length) return;
  throw new InputError(`observation: ${data.length} ${what}: one unit has ${length}`);
}
