/**
 * A session: observations in, responses out, in order, through a thinker and its performer that live
 * in Workers. It can be saved between two units and resumed, and survives the loss of its Workers.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { parameterCount } from "../checkpoint/tensors.ts";
import { givenCheckpoint, givenObservation } from "../checkpoint/given.ts";
import { openTokenizer, TextStream, type Tokenizer } from "../checkpoint/tokenizer.ts";
import {
  type Observation,
  type Response,
  type StreamLayout,
  unitLayout,
} from "../checkpoint/unit.ts";
import type { FloatType } from "../../kernels/gpu/tensor.ts";
import type { WeightType } from "../../kernels/matmul/packed_weight.ts";
import { InputError } from "../config/errors.ts";
import { number, readOptions, type RulesOf, whole } from "../config/option_rules.ts";
import {
  resolveSettings,
  type SessionOptions,
  type Settings,
  type TuningRequest,
} from "../model/settings.ts";
import { historyWindow } from "../model/window.ts";
import { clock, type FromThinker, type RawResponse, type ToThinker } from "../roles/messages.ts";
import { Queue } from "../roles/queue.ts";
import type { Snapshot } from "../roles/snapshot.ts";
import { Journal } from "./journal.ts";
import { Recoveries, type Recovery } from "./recovery.ts";
import { checkSnapshot, resumeSettings } from "./resume.ts";
import { placeRoles, type Places, type RoleInfos, Roles } from "./roles.ts";
import { driversUnloaded } from "../../kernels/gpu/adapter.ts";

/** A stream of observations that is answered with a stream of responses. What stands between a session
 * and its user (a pace, a network) implements it too and passes on to the one inside. */
export interface Session extends AsyncIterable<Response> {
  /**
   * Gives the next unit's observation. Resolves when there is room for another: a reader that takes
   * no responses makes the writer wait. The arrays are copied and stay the caller's, so does memory that
   * they share with others (Node's Buffers).
   *
   * @throws InputError when it isn't one unit, or holds a sample that isn't finite; nothing was pushed.
   */
  push(observation: Observation): Promise<void>;
  /** Says that no more observations come; the responses still under way follow. */
  end(): void;
  /**
   * Takes a snapshot after the last unit that was pushed, as soon as it is answered; responses need
   * not be taken for that. In the `paper` schedule its response comes early, so that nothing is under
   * way in between.
   *
   * @throws Error when the input has ended, or the session fails or is closed before.
   */
  snapshot(): Promise<Snapshot>;
  /** The rebuilds of its roles so far, oldest first. */
  readonly recoveries: readonly Recovery[];
  /** Stops the work and frees the adapters. Await it before the process exits. */
  close(): Promise<void>;
}

/** Facts about an open session that a reader of its results needs. */
export interface SessionInfo extends RoleInfos {
  placement: "split" | "fused";
  /** Storage of history, codecs and embeddings, and of the layers' weights. */
  storage: FloatType;
  weights: WeightType;
  checkpointDigest: string;
  parameters: number;
  tokensPerUnit: number;
  prefillTokens: number;
  /** The first unit that this session answers; more than 0 when it resumed. */
  firstUnit: number;
  settings: Omit<Settings, "personaFrame" | "voice" | "promptIds">;
}

/** How a session begins, and what it keeps against failures. */
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

const durabilityRules = {
  resume: { kind: "object" },
  snapshotEvery: whole(0, 1e9),
  patience: number(1, 1e9),
} as const satisfies RulesOf<Durability>;

/** Units that may be under way: pushed, and their response not yet taken. */
const unitsUnderWay = 4;

/** Opens a session: opens the adapters, puts the model on them, computes prefill and hands it over,
 * or restores a snapshot.
 *
 * @throws InputError when an option is out of range, the snapshot is damaged or fits neither
 * checkpoint nor options, or an adapter can't be had. */
export async function openSession(
  checkpoint: Checkpoint,
  options: SessionOptions = {},
  durability: Durability = {},
): Promise<WorkerSession> {
  givenCheckpoint(checkpoint);
  const { resume, snapshotEvery = 0, patience = 60_000 } = readOptions(
    durability,
    durabilityRules,
    "durability",
  );
  const tokenizer = openTokenizer(checkpoint.tokenizer, checkpoint.config);
  const snapshot = resume ? checkSnapshot(resume, checkpoint) : null;
  const settings = snapshot
    ? resumeSettings(checkpoint, options, snapshot, tokenizer)
    : resolveSettings(checkpoint, options, tokenizer);
  const places = await placeRoles(options);
  const session = new WorkerSession(
    { checkpoint, settings, tokenizer, places, tuning: options.tuning, snapshotEvery, patience },
    snapshot,
  );
  try {
    await session.open();
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** What a session is opened with, checked. */
interface Opening {
  checkpoint: Checkpoint;
  settings: Settings;
  tokenizer: Tokenizer;
  places: Places;
  tuning: TuningRequest | undefined;
  snapshotEvery: number;
  patience: number;
}

/** A session whose roles run in Workers of this process. Made by `openSession`. */
export class WorkerSession implements Session {
  private readonly opening: Opening;
  /** What a unit holds: its tokens, and the shapes of observations and responses. */
  readonly layout: StreamLayout;
  readonly #journal: Journal;
  readonly #recoveries = new Recoveries({
    stop: () => this.#roles?.close(),
    start: async () => void await this.#start(),
    isOver: () => this.#isClosed || this.#failure !== undefined,
  });
  readonly #responses = new Queue<Response | null>();
  /** Tokens of typed text that have no slot yet: they come in the next units. */
  readonly #typed: number[];
  readonly #text: TextStream;
  #info: SessionInfo | undefined;
  #roles: Roles | undefined;
  /** The roles are open and have everything that was sent so far. */
  #isReady = false;
  /** The thinker has answered everything: a role that fails now is not missed. */
  #isDone = false;
  #hasEnded = false;
  #isClosed = false;
  #failure: Error | undefined;
  /** Writers that wait for room. */
  readonly #writers: (() => void)[] = [];
  #underWay = 0;
  /** The unit of the next observation, and of the next response. */
  #nextIn: number;
  #nextOut: number;

  constructor(opening: Opening, resume: Snapshot | null) {
    this.opening = opening;
    const { checkpoint, settings, tokenizer, snapshotEvery } = opening;
    this.layout = unitLayout(checkpoint.config);
    this.#journal = new Journal(checkpoint.digest, settings, resume, snapshotEvery > 0);
    this.#typed = [...resume?.meta.waiting ?? []];
    this.#text = new TextStream(tokenizer, Uint8Array.from(resume?.meta.unfinished ?? []));
    this.#nextIn = this.#nextOut = resume ? resume.meta.unit + 1 : 0;
  }

  /** Opens the roles: called once, before anything else. @throws when a role fails */
  async open(): Promise<void> {
    const { checkpoint, settings, places } = this.opening;
    const { promptIds: _, personaFrame: __, voice: ___, ...shown } = settings;
    this.#info = {
      placement: places.placement,
      ...await this.#start(),
      storage: settings.storage,
      weights: settings.weights,
      checkpointDigest: checkpoint.digest,
      parameters: parameterCount(checkpoint.config),
      tokensPerUnit: this.layout.tokens,
      prefillTokens: historyWindow(this.layout, settings).prefillTokens,
      firstUnit: this.#nextOut,
      settings: shown,
    };
  }

  /** Starts the roles where the newest snapshot says, or anew, and sends them what came since. */
  async #start(): Promise<RoleInfos> {
    const { checkpoint, settings, places, tuning, patience } = this.opening;
    const roles = new Roles(
      places,
      patience,
      (message) => this.#receive(message),
      (error) => this.#recover(error),
    );
    this.#roles = roles;
    const infos = await roles.open(checkpoint, settings, this.#journal.snapshot, tuning);
    for (const message of this.#journal.messages) roles.post(message);
    this.#isReady = true;
    return infos;
  }

  /** What the session runs on and with. */
  get info(): SessionInfo {
    if (!this.#info) throw new Error("the session isn't open");
    return this.#info;
  }

  get recoveries(): readonly Recovery[] {
    return this.#recoveries.list;
  }

  async push(observation: Observation): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (this.#hasEnded) throw new Error("the session's input has ended");
    const { tokenizer, snapshotEvery } = this.opening;
    const { userText, user } = this.layout;
    const { audio, frames, text } = givenObservation(observation, user);
    if (text) this.#typed.push(...tokenizer.encode(text));
    const input = { audio, frames, typed: this.#typed.splice(0, userText), arrived: clock() };
    this.#underWay++;
    const transfer = [audio, frames].flatMap((array) => array?.buffer ?? []);
    this.#send({ type: "unit", input }, transfer);
    this.#nextIn++;
    if (snapshotEvery > 0 && this.#nextIn % snapshotEvery === 0) this.#requestSnapshot();
    if (this.#underWay >= unitsUnderWay) {
      await new Promise<void>((resolve) => this.#writers.push(resolve));
      if (this.#failure) throw this.#failure;
    }
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#send({ type: "end" });
  }

  async snapshot(): Promise<Snapshot> {
    if (this.#failure) throw this.#failure;
    if (this.#hasEnded) {
      throw new Error("the session's input has ended: snapshot() comes before end()");
    }
    return await this.#requestSnapshot();
  }

  /** The responses, in order, until the input has ended and the last one was given. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Response> {
    for (;;) {
      const response = await this.#responses.take();
      if (!response) return;
      this.#underWay--;
      this.#writers.shift()?.();
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
    feed().catch((error) => this.#fail(error));
    yield* this;
  }

  async close(): Promise<void> {
    const isFirst = !this.#isClosed;
    this.#hasEnded = true;
    this.#isClosed = true;
    this.#roles?.close();
    this.#responses.put(null);
    this.#release();
    if (isFirst) await driversUnloaded();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #send(message: ToThinker, transfer: Transferable[] = []): void {
    this.#journal.add(message);
    if (!this.#isReady) return;
    // What the journal keeps is copied to the Worker.
    this.#roles?.post(message, this.#journal.keepsMessages ? [] : transfer);
  }

  #requestSnapshot(): Promise<Snapshot> {
    const { message, snapshot } = this.#journal.request([...this.#typed]);
    this.#send(message);
    return snapshot;
  }

  #receive(message: FromThinker): void {
    if (message.type === "response") this.#answer(message.response);
    else if (message.type === "state") this.#journal.save(message.state, [...this.#text.pending]);
    else {
      this.#isDone = true;
      this.#responses.put(null);
    }
  }

  #answer(response: RawResponse): void {
    // After a recovery the units since the snapshot come again.
    if (response.unit < this.#nextOut) return;
    this.#nextOut++;
    this.#recoveries.progressed();
    const text = response.tokens.map((id) => this.#text.push(id)).join("");
    this.#responses.put({ ...response, text });
  }

  /** A role failed while the session was open. */
  async #recover(error: Error): Promise<void> {
    if (this.#isDone) return;
    if (!this.#journal.keepsMessages || error instanceof InputError) return this.#fail(error);
    this.#isReady = false;
    const snapshot = this.#journal.snapshot?.meta.unit ?? -1;
    try {
      await this.#recoveries.recover(error, { unit: this.#nextOut, snapshot });
    } catch (final) {
      this.#fail(final);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
    this.#responses.fail(this.#failure);
    this.#release();
  }

  /** Lets go those who wait for room or a snapshot. */
  #release(): void {
    for (const resolve of this.#writers.splice(0)) resolve();
    this.#journal.fail(this.#failure ?? new Error("the session was closed"));
  }
}
