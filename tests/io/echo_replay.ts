/**
 * `replay` with a stand-in for the session: it answers every unit with the user's own sound and a
 * picture of the user's mean colours. For tests of everything around the engine; needs no GPU.
 *
 *     deno run tests/io/echo_replay.ts MS_PER_UNIT INPUT -o OUTPUT [options of replay]
 */
import { openConfig } from "../../engine/checkpoint/checkpoint.ts";
import type { ModelConfig } from "../../engine/config/config.ts";
import {
  type Observation,
  type Response,
  type UnitLayout,
  unitLayout,
} from "../../engine/checkpoint/unit.ts";
import { run } from "../../io/commands/replay.ts";
import type { ModelOptions } from "../../io/cli/model_options.ts";
import { explain } from "../../io/system/errors.ts";
import type { OpenedSession, References } from "../../io/run/run_model.ts";
import type { UnitSession } from "../../io/pace/pump.ts";

/** What a session was given, for tests. */
export interface Seen {
  options: ModelOptions | null;
  references: References | null;
  texts: [unit: number, text: string][];
  closed: number;
}

/** A session that echoes, with a little queue like the real one. */
export class EchoSession implements UnitSession {
  readonly #config: ModelConfig;
  readonly #layout: UnitLayout;
  readonly #delay: number;
  readonly #seen: Seen;
  readonly #queue: Observation[] = [];
  #pushed = 0;
  #unit = 0;
  #ended = false;
  #wake: (() => void)[] = [];

  constructor(config: ModelConfig, delay: number, seen: Seen) {
    this.#config = config;
    this.#layout = unitLayout(config);
    this.#delay = delay;
    this.#seen = seen;
  }

  async push(observation: Observation): Promise<void> {
    if (this.#ended) throw new Error("the session's input has ended");
    if (observation.text) this.#seen.texts.push([this.#pushed, observation.text]);
    this.#pushed++;
    this.#queue.push(observation);
    this.#notify();
    while (this.#queue.length > 3 && !this.#ended) await this.#changed();
  }

  end(): void {
    this.#ended = true;
    this.#notify();
  }

  close(): Promise<void> {
    this.#seen.closed++;
    this.#queue.length = 0;
    this.end();
    return Promise.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Response> {
    for (;;) {
      const observation = this.#queue.shift();
      if (observation === undefined && this.#ended) return;
      if (observation === undefined) {
        await this.#changed();
        continue;
      }
      this.#notify();
      await new Promise((resolve) => setTimeout(resolve, this.#delay));
      yield this.#answer(observation, this.#unit++);
    }
  }

  #answer({ audio, frames }: Observation, unit: number): Response {
    const { agentSamples, frames: count } = this.#layout;
    const { width, height } = this.#config.response.video;
    const sound = new Float32Array(agentSamples);
    sound.set(audio?.subarray(0, agentSamples) ?? []);
    const picture = new Uint8Array(count * width * height * 3);
    const size = (frames?.length ?? 0) / count;
    for (let i = 0; i < picture.length; i++) {
      const frame = Math.floor(i / (width * height * 3));
      picture[i] = frames?.[frame * size + (i % size)] ?? 0;
    }
    const stages = {
      encode: 1,
      pass: 2,
      sendSlice: 0,
      solve: 3,
      sendLatents: 0,
      decode: 1,
      queue: 0,
      wait: this.#delay,
      total: 7 + this.#delay,
    };
    return {
      unit,
      text: unit % 3 === 0 ? ` w${unit}` : "",
      tokens: [unit],
      audio: sound,
      frames: picture,
      digest: `${unit}`.padStart(64, "0"),
      historyTokens: unit * this.#layout.tokens,
      stages,
    };
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** Opens echo sessions that take so many ms for a unit; `seen` shows what they were given. */
export function echo(delay = 0) {
  const seen: Seen = { options: null, references: null, texts: [], closed: 0 };
  async function open(
    model: string,
    options: ModelOptions,
    references: References,
  ): Promise<OpenedSession> {
    Object.assign(seen, { options, references });
    const session = new EchoSession(await openConfig(model), delay, seen);
    return { session, info: { placement: "fused" }, line: "an echo", checkpointDigest: "0" };
  }
  return { open, seen };
}

if (import.meta.main) {
  const [delay, ...args] = Deno.args;
  let code: number;
  try {
    code = await run(args, echo(Number(delay)).open);
  } catch (error) {
    const { text, exitCode } = explain(error);
    Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
    code = exitCode;
  }
  Deno.exit(code);
}
