/**
 * A session: observations in, responses out, in order, through a thinker and its performer that live
 * in Workers. It can be saved between two units and resumed, and survives the loss of its Workers.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { parameterCount } from "../checkpoint/tensors.ts";
import { givenObservation, givenSource } from "../checkpoint/given.ts";
import { TextStream, type Tokenizer } from "../checkpoint/tokenizer.ts";
import {
  type Observation,
  type Response,
  type StreamLayout,
  unitLayout,
} from "../checkpoint/unit.ts";
import type { FloatType } from "../../kernels/gpu/tensor.ts";
import type { WeightType } from "../../kernels/matmul/packed_weight.ts";
import { InputError } from "../config/errors.ts";
import { readOptions, type RulesOf, whole } from "../config/option_rules.ts";
import type { Settings } from "../model/settings.ts";
import { historyWindow } from "../model/window.ts";
import { clock, type FromThinker, type RawResponse, type ToThinker } from "../roles/messages.ts";
import { sealSnapshot, type Snapshot } from "../roles/snapshot.ts";
import { Journal } from "./journal.ts";
import { Recoveries, type Recovery } from "./recovery.ts";
import { Responses } from "./responses.ts";
import type { Places, RoleInfos, Roles, SessionRoles } from "./roles.ts";

/** A stream of observations that is answered with a stream of responses. What stands between a session
 * and its user (a pace, a network) implements it too and passes on to the one inside. */
export interface Session extends AsyncIterable<Response> {
  /**
   * Gives the next unit's observation. Resolves when there is room for another: a reader that takes
   * no responses makes the writer wait. The arrays are copied and stay the caller's, so does memory that
   * they share with others (Node's Buffers).
   *
   * @throws InputError when it isn't one unit, or holds a sample that isn't finite; nothing was pushed.
   * @throws Error when the input has ended, or the session fails or is closed meanwhile.
   */
  push(observation: Observation): Promise<void>;
  /** Says that no more observations come; the responses still under way follow. */
  end(): void;
  /**
   * Takes a snapshot after the last unit that was pushed, as soon as it is answered; responses need
   * not be taken for that. In the `paper` schedule its response comes early, so that nothing is under
   * way in between.
   *
   * @param options `after`: a unit that is still to come, in place of the last one that was pushed.
   * @throws Error when that unit is past, or the input has ended, or the session fails or is closed
   * before.
   */
  snapshot(options?: { after?: number }): Promise<Snapshot>;
  /** The rebuilds of its roles so far, oldest first. */
  readonly recoveries: readonly Recovery[];
  /** Stops the work and frees the adapters. Await it before the process exits. */
  close(): Promise<void>;
}

/** Facts about an open session that a reader of its results needs. */
export interface SessionInfo extends RoleInfos {
  /** Where the roles run. */
  placement: "split" | "fused";
  /** Storage of history, codecs and embeddings. */
  storage: FloatType;
  /** Storage of the layers' weights. */
  weights: WeightType;
  /** The checkpoint's digest. */
  checkpointDigest: string;
  /** Numbers in all weights. */
  parameters: number;
  /** Tokens that a unit adds to history. */
  tokensPerUnit: number;
  /** Tokens of prompt, persona and voice. */
  prefillTokens: number;
  /** The first unit that this session answers; more than 0 when it resumed. */
  firstUnit: number;
  /** What it was asked for, and the defaults of the rest. */
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
  /** Each response brings its `details` (false): more is read back from the adapter. */
  details?: boolean;
  /** Each response brings its `inspection` (false): attention shares, the solver's path and the
   * likeliest words. A tick takes longer; what is answered stays the same. */
  inspect?: boolean;
  /** Nothing is decoded (false): responses bring silence and black pictures. Their text, tokens and
   * latents stay the same, and a tick is shorter. Decoders begin anew where its snapshot is resumed. */
  textOnly?: boolean;
  /** The model's Workers stay when the session closes, until the process ends (false). For the last
   * session of a program that leaves by `Deno.exit()`: a driver that is being unloaded while exit
   * handlers run crashes the process, one that stays doesn't. */
  untilExit?: boolean;
  /** Ends the opening with the signal's reason; an open session doesn't look at it. */
  signal?: AbortSignal;
}

/** What a reader may ask for. */
export interface Reading {
  /** Ends the reading with the signal's reason. What was pushed and not answered yet stays part of the
   * conversation; its responses are left out. */
  signal?: AbortSignal;
}

const readingRules = { signal: { kind: "signal" } } as const satisfies RulesOf<Reading>;

/** What a session is opened with, checked. */
export interface Opening {
  checkpoint: Checkpoint;
  settings: Settings;
  tokenizer: Tokenizer;
  placement: Places["placement"];
  snapshotEvery: number;
  details: boolean;
  inspect: boolean;
  textOnly: boolean;
  /** The model's Workers, opened anew where they failed. */
  roles(): Promise<Roles>;
  /** Called when the session has closed. */
  close(): Promise<void>;
}

/** A snapshot after a unit that is still to come. */
interface Wish extends PromiseWithResolvers<Snapshot> {
  after: number;
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
  readonly #responses: Responses;
  /** Tokens of typed text that have no slot yet: they come in the next units. */
  readonly #typed: number[];
  readonly #text: TextStream;
  /** With details: the typed tokens that wait after each unit that is not answered yet. */
  readonly #waiting = new Map<number, number[]>();
  #wishes: Wish[] = [];
  #info: SessionInfo | undefined;
  #roles: SessionRoles | undefined;
  /** The roles are open and have everything that was sent so far. */
  #isReady = false;
  /** The thinker has answered everything: a role that fails now is not missed. */
  #isDone = false;
  #hasEnded = false;
  #isClosed = false;
  #failure: Error | undefined;
  /** The response to the last unit comes with the next one. */
  #isHeldBack = false;
  /** The unit of the next response. */
  #nextOut: number;

  /** @internal */
  constructor(opening: Opening, resume: Snapshot | null) {
    this.opening = opening;
    const { checkpoint, settings, tokenizer, snapshotEvery } = opening;
    this.layout = unitLayout(checkpoint.config);
    this.#journal = new Journal(checkpoint.digest, settings, resume, snapshotEvery > 0);
    this.#typed = [...resume?.meta.waiting ?? []];
    this.#text = new TextStream(tokenizer, Uint8Array.from(resume?.meta.unfinished ?? []));
    this.#nextOut = resume ? resume.meta.unit + 1 : 0;
    // In the paper schedule a response comes with the next observation. A reader that waits for it
    // before it gives one would wait forever: it gets the response early, as `snapshot` does.
    this.#responses = new Responses(this.#nextOut, checkpoint.config.unit_ms, () => {
      if (settings.schedule === "paper" && !this.#hasEnded) this.#send({ type: "flush" });
    });
  }

  /** Opens the roles: called once, before anything else.
   *
   * @throws when a role fails
   * @internal */
  async open(): Promise<void> {
    const { checkpoint, settings, placement } = this.opening;
    const { promptIds: _, personaFrame: __, voice: ___, ...shown } = settings;
    this.#info = {
      placement,
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
    const { settings, details, inspect, textOnly } = this.opening;
    const roles = await this.opening.roles();
    const { session, infos } = await roles.openSession(
      { settings, details, inspect, textOnly, snapshot: this.#journal.snapshot },
      (message) => this.#receive(message),
      (error) => this.#recover(error),
    );
    if (this.#isClosed) {
      session.close();
      throw new Error("the session was closed");
    }
    this.#roles = session;
    for (const message of this.#journal.messages) session.post(message);
    this.#isReady = true;
    this.#hold();
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
    await this.#accept("push()", observation);
  }

  /**
   * Gives the next unit's observation and takes its response, in either schedule: nothing else is
   * under way meanwhile.
   *
   * @throws InputError when it isn't one unit, or holds a sample that isn't finite; nothing was given.
   * @throws Error when a response was not read before, the input has ended, or the session fails or is
   * closed meanwhile. The signal's reason, when it ends the wait.
   */
  async step(observation: Observation, reading: Reading = {}): Promise<Response> {
    const { signal } = readOptions(reading, readingRules, "step()");
    signal?.throwIfAborted();
    const responses = this.#responses;
    const leave = responses.seize("step()");
    try {
      if (responses.untaken > 0) {
        throw new Error(
          `step(): ${responses.untaken} responses before its own were not read: read them first`,
        );
      }
      const room = this.#accept("step()", observation);
      const response = await responses.take(signal);
      await room;
      if (response) return response;
      throw new Error("step(): the session's input ended");
    } finally {
      if (signal?.aborted) responses.drop();
      leave();
    }
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#send({ type: "end" });
    for (const { after, reject } of this.#wishes.splice(0)) {
      reject(new Error(`snapshot after unit ${after}: the input ended after unit ${this.#lastIn}`));
    }
  }

  async snapshot(options: { after?: number } = {}): Promise<Snapshot> {
    this.#requireInput("snapshot()");
    const rules = { after: whole(-1, Number.MAX_SAFE_INTEGER) };
    const { after = this.#lastIn } = readOptions(options, rules, "snapshot()");
    if (after === this.#lastIn) return sealSnapshot(await this.#requestSnapshot());
    if (after < this.#lastIn) {
      throw new Error(
        `snapshot after unit ${after}: unit ${this.#lastIn} was given already, and older states ` +
          `are not kept: ask before unit ${after + 1} is given`,
      );
    }
    const wish = { after, ...Promise.withResolvers<Snapshot>() };
    this.#wishes.push(wish);
    return sealSnapshot(await wish.promise);
  }

  /** The responses, in order, until the input has ended and the last one was given. A reader that
   * breaks out may go on later; two at a time are refused. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Response> {
    const leave = this.#responses.seize("an iteration");
    try {
      yield* this.#responses.read();
    } finally {
      leave();
    }
  }

  /**
   * Pushes all observations and gives the responses as they come: `push`, `end` and iteration in one.
   * The source is asked for up to four units more than were answered.
   *
   * Who breaks out ends the source too, and the session goes on: `respond` may be called again, and
   * gives the responses to what it pushes itself.
   *
   * @throws The source's error, after the responses to what it gave before. The signal's reason.
   */
  async *respond(
    observations: Iterable<Observation> | AsyncIterable<Observation>,
    reading: Reading = {},
  ): AsyncGenerator<Response> {
    const { signal } = readOptions(reading, readingRules, "respond()");
    givenSource("respond()", observations);
    signal?.throwIfAborted();
    const leave = this.#responses.seize("respond()");
    let isOver = false;
    /** The source works on its next observation: it may take long, and is not waited for. */
    let isAsked = true;
    const feed = async () => {
      for await (const observation of observations) {
        isAsked = false;
        if (!isOver) await this.push(observation);
        if (isOver) return;
        isAsked = true;
      }
    };
    let failure: { error: unknown } | undefined;
    const feeding = feed().catch((error) => void (failure = { error })).finally(() => {
      if (!isOver) this.end();
    });
    try {
      yield* this.#responses.read(signal);
    } finally {
      isOver = true;
      this.#responses.drop();
      if (!isAsked) await feeding;
      leave();
    }
    if (failure) throw failure.error;
  }

  async close(): Promise<void> {
    const isFirst = !this.#isClosed;
    this.#isClosed = true;
    this.#roles?.close();
    const isAnswered = this.#hasEnded && this.#nextOut > this.#lastIn;
    if (isAnswered && !this.#isDone) this.#responses.end();
    this.#hasEnded = true;
    this.#release(new Error(`the session was closed before unit ${this.#nextOut} was answered`));
    if (isFirst) await this.opening.close();
  }

  /** `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The unit that was pushed last; -1 before the first. */
  get #lastIn(): number {
    return this.#responses.nextIn - 1;
  }

  /** @throws Error when what needs more input comes too late */
  #requireInput(what: string): void {
    if (this.#failure) throw this.#failure;
    if (this.#isClosed) throw new Error(`${what}: the session was closed: open another`);
    if (!this.#hasEnded) return;
    throw new Error(
      `${what} comes before end(): the session's input has ended: open another session`,
    );
  }

  /** Sends an observation; resolves when there is room for another. */
  #accept(what: string, observation: Observation): Promise<void> {
    this.#requireInput(what);
    const { tokenizer, snapshotEvery, details } = this.opening;
    const { userText, user } = this.layout;
    const { audio, frames, text } = givenObservation(observation, user);
    if (text) this.#typed.push(...tokenizer.encode(text));
    const input = { audio, frames, typed: this.#typed.splice(0, userText), arrived: clock() };
    const transfer = [audio, frames].flatMap((array) => array?.buffer ?? []);
    this.#send({ type: "unit", input }, transfer);
    const room = this.#responses.accept();
    const unit = this.#lastIn;
    if (details) this.#waiting.set(unit, [...this.#typed]);
    if (snapshotEvery > 0 && (unit + 1) % snapshotEvery === 0) this.#requestSnapshot();
    for (const { resolve } of this.#wishes.filter(({ after }) => after === unit)) {
      resolve(this.#requestSnapshot());
    }
    this.#wishes = this.#wishes.filter(({ after }) => after > unit);
    this.#hold();
    return room;
  }

  #send(message: ToThinker, transfer: Transferable[] = []): void {
    this.#journal.add(message);
    this.#isHeldBack = message.type === "unit" && this.opening.settings.schedule === "paper";
    if (!this.#isReady) return;
    // What the journal keeps is copied to the Worker.
    this.#roles?.post(message, this.#journal.keepsMessages ? [] : transfer);
    this.#hold();
  }

  /** The process goes on while an answer is under way. In the paper schedule the last one is not,
   * unless it was asked for. */
  #hold(): void {
    const underWay = this.#responses.nextIn - this.#nextOut - (this.#isHeldBack ? 1 : 0);
    this.#roles?.hold(
      underWay > 0 || this.#journal.isAwaited || (this.#hasEnded && !this.#isDone),
    );
  }

  #requestSnapshot(): Promise<Snapshot> {
    const { message, snapshot } = this.#journal.request([...this.#typed]);
    this.#send(message);
    return snapshot;
  }

  #receive(message: FromThinker): void {
    this.#take(message);
    this.#hold();
  }

  #take(message: FromThinker): void {
    if (message.type === "response") this.#answer(message.response);
    else if (message.type === "state") this.#journal.save(message.state, [...this.#text.pending]);
    else {
      this.#isDone = true;
      this.#responses.end();
      this.#roles?.close();
    }
  }

  #answer(response: RawResponse): void {
    // After a recovery the units since the snapshot come again.
    if (response.unit < this.#nextOut) return;
    this.#nextOut++;
    this.#recoveries.progressed();
    const text = response.tokens.map((id) => this.#text.push(id)).join("");
    const { details, inspection, ...rest } = response;
    const full: Response = { ...rest, text };
    const { tokenizer } = this.opening;
    if (details) {
      const waiting = tokenizer.decode(this.#waiting.get(response.unit) ?? []);
      this.#waiting.delete(response.unit);
      full.details = { ...details, waiting };
    }
    if (inspection) {
      const top = inspection.top.map((one) => ({ ...one, text: tokenizer.nameOf(one.token) }));
      full.inspection = { ...inspection, top };
    }
    this.#responses.put(full);
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

  /** What a role's failure means for the session: the error names the unit and the way out. */
  #fail(error: unknown): void {
    const { message } = error instanceof Error ? error : new Error(String(error));
    const remedy = this.#journal.keepsMessages
      ? "open another session with the newest snapshot"
      : "open another session; one that keeps snapshots in memory goes on by itself";
    const Kind = error instanceof InputError ? InputError : Error;
    this.#failure ??= new Kind(`unit ${this.#nextOut}: ${message}: ${remedy}`, { cause: error });
    this.#release(this.#failure);
  }

  /** Lets go those who wait for responses, room or a snapshot. */
  #release(error: Error): void {
    this.#responses.fail(error);
    this.#journal.fail(error);
    for (const { reject } of this.#wishes.splice(0)) reject(error);
  }
}
