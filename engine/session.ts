/**
 * A session: observations in, responses out, in order, through a thinker and a performer that live
 * in Workers.
 */
import type { Checkpoint } from "./checkpoint.ts";
import { InputError } from "./errors.ts";
import { Queue } from "./queue.ts";
import type { FromRole, Role, ToRole } from "./role_worker.ts";
import { resolveSettings, type SessionOptions, type Settings } from "./settings.ts";
import { TypedText } from "./typed_text.ts";
import { openTokenizer, TextStream, type Tokenizer } from "./tokenizer.ts";
import { clock, type RawResponse } from "./ticks.ts";
import { type Observation, type Response, type UnitLayout, unitLayout } from "./unit.ts";
import type { AdapterSpec } from "../kernels/adapter.ts";
import { listAdapters } from "../kernels/probe.ts";

/** Facts about an open session that a reader of its results needs. */
export interface SessionInfo {
  placement: "split" | "fused";
  thinker: { adapter: string; spec: AdapterSpec; allocatedBytes: number };
  performer: { adapter: string; spec: AdapterSpec; allocatedBytes: number };
  storage: "f32" | "f16";
  checkpointDigest: string;
  parameters: number;
  tokensPerUnit: number;
  prefillTokens: number;
  settings: Omit<Settings, "personaFrame" | "voice" | "promptIds">;
}

/** Units that may be under way: pushed, and their response not yet taken. */
const unitsUnderWay = 4;

/** Opens a session: opens the adapters, puts the model on them, computes prefill and hands it over.
 *
 * @throws InputError when an option is out of range or an adapter can't be had. */
export function openSession(
  checkpoint: Checkpoint,
  options: SessionOptions = {},
): Promise<Session> {
  return Session.open(checkpoint, options);
}

export class Session implements AsyncIterable<Response> {
  readonly layout: UnitLayout;
  #info: SessionInfo | undefined;
  #roles: RoleHandle[] = [];
  #responses = new Queue<Response | null>();
  #room: (() => void)[] = [];
  #underWay = 0;
  #ended = false;
  #failure: Error | undefined;
  readonly #typed: TypedText;
  readonly #text: TextStream;

  private constructor(
    private readonly checkpoint: Checkpoint,
    private readonly tokenizer: Tokenizer,
  ) {
    this.layout = unitLayout(checkpoint.config);
    this.#typed = new TypedText(this.layout.userText);
    this.#text = new TextStream(tokenizer);
  }

  /** See `openSession`. */
  static async open(checkpoint: Checkpoint, options: SessionOptions): Promise<Session> {
    const session = new Session(checkpoint, openTokenizer(checkpoint.tokenizer, checkpoint.config));
    try {
      await session.#open(options);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  async #open(options: SessionOptions): Promise<void> {
    const settings = resolveSettings(this.checkpoint, options, this.tokenizer);
    const { placement, thinker: thinkerSpec, performer: performerSpec } = await placeRoles(options);
    const fail = (error: Error) => this.#fail(error);
    const start = (role: Role) => {
      const handle = new RoleHandle(role, (message) => this.#receive(message), fail);
      this.#roles.push(handle);
      return handle;
    };

    const first = start(placement === "fused" ? "fused" : "thinker");
    // One after the other: a Worker's first request reads the driver variables of the process.
    const thinkerName = await first.openAdapter(thinkerSpec);
    let thinkerBytes: number;
    let performerBytes = 0;
    let performerName = thinkerName;
    if (placement === "split") {
      const second = start("performer");
      performerName = await second.openAdapter(performerSpec);
      const { port1, port2 } = new MessageChannel();
      [thinkerBytes, performerBytes] = await Promise.all([
        first.build(this.checkpoint, settings, port1),
        second.build(this.checkpoint, settings, port2),
      ]);
    } else {
      thinkerBytes = performerBytes = await first.build(this.checkpoint, settings);
    }

    const { promptIds, personaFrame, voice, ...shown } = settings;
    const voiceUnits = (voice?.length ?? 0) / this.layout.agentSamples;
    let parameters = 0;
    for (const { shape } of this.checkpoint.tensors.values()) {
      parameters += shape.reduce((a, b) => a * b, 1);
    }
    this.#info = {
      placement,
      thinker: { adapter: thinkerName, spec: thinkerSpec, allocatedBytes: thinkerBytes },
      performer: {
        adapter: performerName,
        spec: placement === "fused" ? thinkerSpec : performerSpec,
        allocatedBytes: performerBytes,
      },
      storage: settings.storage,
      checkpointDigest: this.checkpoint.digest,
      parameters,
      tokensPerUnit: this.layout.tokens,
      prefillTokens: promptIds.length + voiceUnits * this.layout.agentAudio +
        (personaFrame ? this.layout.agentVideo : 0),
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
    this.#roles[0]?.post({ type: "unit", input }, transfer);
    if (this.#underWay >= unitsUnderWay) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
      if (this.#failure) throw this.#failure;
    }
  }

  /** Says that no more observations come; the responses still under way follow. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#roles[0]?.post({ type: "end" });
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

  /** Stops the Workers and frees the adapters. */
  close(): Promise<void> {
    this.#ended = true;
    for (const role of this.#roles.splice(0)) role.terminate();
    this.#responses.put(null);
    for (const resolve of this.#room.splice(0)) resolve();
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #receive(message: FromRole): void {
    if (message.type === "response") this.#responses.put(this.#withText(message.response));
    else if (message.type === "done") this.#responses.put(null);
  }

  #withText(response: RawResponse): Response {
    return { ...response, text: response.tokens.map((id) => this.#text.push(id)).join("") };
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#responses.fail(error);
    for (const resolve of this.#room.splice(0)) resolve();
  }
}

/** Where the roles run. */
interface Roles {
  placement: "split" | "fused";
  thinker: AdapterSpec;
  performer: AdapterSpec;
}

/**
 * `auto` is split where the roles' adapters differ: because the specs do, or because no spec is given
 * and there are two graphics cards. On one adapter it is fused, which measured faster: two copies of
 * weights and history only compete for it (NOTES.md).
 */
async function placeRoles(options: SessionOptions): Promise<Roles> {
  const { placement = "auto", thinker = "default", performer = thinker } = options;
  if (placement === "fused" && performer !== thinker) {
    throw new InputError(
      `placement 'fused' has one adapter, but thinker is '${thinker}' and performer '${performer}': use 'split', or one adapter`,
    );
  }
  if (placement !== "fused" && !options.thinker && !options.performer) {
    const [first, second] = (await listAdapters()).filter(({ software }) => !software);
    if (first && second) {
      return { placement: "split", thinker: first.spec, performer: second.spec };
    }
  }
  if (placement !== "auto") return { placement, thinker, performer };
  return { placement: thinker === performer ? "fused" : "split", thinker, performer };
}

function requireLength(what: string, data: { length: number } | null, length: number): void {
  if (!data || data.length === length) return;
  throw new InputError(`observation: ${data.length} ${what}: one unit has ${length}`);
}

/** A role's Worker seen from the session. */
class RoleHandle {
  readonly #worker: Worker;
  readonly #replies = new Queue<FromRole>();

  constructor(
    readonly role: Role,
    receive: (message: FromRole) => void,
    fail: (error: Error) => void,
  ) {
    this.#worker = new Worker(new URL("./role_worker.ts", import.meta.url), { type: "module" });
    const stop = (error: Error) => {
      this.#replies.fail(error);
      fail(error);
    };
    this.#worker.onmessage = ({ data }: MessageEvent<FromRole>) => {
      if (data.type === "error") {
        const message = data.isInput ? data.message : `${role}: ${data.message}`;
        stop(data.isInput ? new InputError(message) : new Error(message));
      } else if (data.type === "adapter" || data.type === "ready") this.#replies.put(data);
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
  async openAdapter(spec: AdapterSpec): Promise<string> {
    this.post({ type: "adapter", spec });
    const reply = await this.#replies.take();
    return reply.type === "adapter" ? reply.name : "";
  }

  /** Builds the model and prefill; gives the bytes allocated on the adapter. */
  async build(checkpoint: Checkpoint, settings: Settings, port?: MessagePort): Promise<number> {
    const message: ToRole = { type: "build", role: this.role, checkpoint, settings };
    this.post(port ? { ...message, port } : message, port ? [port] : []);
    const reply = await this.#replies.take();
    return reply.type === "ready" ? reply.allocatedBytes : 0;
  }

  terminate(): void {
    this.#worker.terminate();
  }
}
