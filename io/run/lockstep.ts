/**
 * A conversation in lockstep: a message of one unit comes in, and its answer goes out before the next
 * is read. A message, in both directions, is one line of JSON and as many bytes as its `bytes` says:
 * samples (mono, 16 bits, little-endian), then RGB24 pictures where `pictures` is true.
 */
import type { Observation } from "../../engine/checkpoint/unit.ts";
import { InputError } from "../../engine/config/errors.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { Fields } from "../../engine/config/config_fields.ts";
import type { Cut } from "../media/observation_reader.ts";
import { frameBytes, type StreamShape } from "../media/stream_shape.ts";
import { fromPcm16, toPcm16 } from "../media/wav.ts";
import { isActive, rms } from "../pace/activity.ts";
import { ByteQueue } from "../system/byte_queue.ts";
import { concat } from "../system/bytes.ts";
import type { ByteSink, ByteSource } from "../ends/endpoints.ts";
import type { Answer, UnitReader } from "../ends/ends.ts";
import type { StreamOutput } from "../ends/stream_output.ts";

/** The line of a message that comes in. */
interface Asked {
  /** After the line: the samples of a unit or none, then its pictures if it has some. */
  bytes: number;
  /** What the user types. */
  text?: string;
  /** Whether pictures follow the samples (false). */
  pictures?: boolean;
  /** Whether the answer is to have pictures (false). */
  answer_pictures?: boolean;
}

/** The line of an answer. */
interface Answered {
  bytes: number;
  /** From 0 on. */
  unit: number;
  /** What the agent says. */
  text: string;
  /** Whether its voice sounds. */
  active: boolean;
  pictures: boolean;
  /** Samples per second. */
  sample_rate: number;
}

/** A line with the longest text that can be typed at once. */
const longestLine = 1 << 16;
const newLine = 10;

export class Lockstep implements UnitReader {
  cut: Cut | null = null;
  readonly joins = [];
  readonly output: StreamOutput;
  readonly #input: ByteSource;
  readonly #queue: ByteQueue;
  readonly #user: StreamShape;
  #answersPictures = false;

  constructor(input: ByteSource, sink: ByteSink, shapes: Record<"user" | "agent", StreamShape>) {
    this.#input = input;
    this.#queue = new ByteQueue(input.chunks);
    this.#user = shapes.user;
    this.output = {
      names: { response: sink.name },
      tag: () => {},
      start: () => Promise.resolve(performance.now()),
      write: (answer) => sink.write(this.#message(answer, shapes.agent)),
      async end() {
        await sink.close();
        return performance.now();
      },
    };
  }

  async close(): Promise<void> {
    await this.#input.close();
  }

  /** Once only: what each message gives. @throws InputError for a message that isn't one. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Observation, void, void> {
    const { samples, frames, unitMs } = this.#user;
    const audioBytes = samples * 2;
    const pictureBytes = frames * frameBytes(this.#user);
    const most = audioBytes + pictureBytes;
    for (let unit = 0;; unit++) {
      const what = `message ${unit}`;
      const breaksOff = (reason: string) => {
        this.cut = { seconds: unit * unitMs / 1000, reason: `${what} ${reason}` };
      };
      const { line, isWhole } = await this.#line(what);
      if (!isWhole) return line.length > 0 ? breaksOff("ends inside its line") : undefined;
      const fields = new Fields(parse(line, what), what);
      const flag = (name: keyof Asked) => fields.has(name) && fields.boolean(name);
      const bytes = fields.whole("bytes", [0, most]);
      const text = fields.get("text") ?? "";
      if (typeof text !== "string") throw fields.error("text", "text");
      const pictures = flag("pictures");
      this.#answersPictures = flag("answer_pictures");
      fields.refuseOthers();
      const sound = bytes - (pictures ? pictureBytes : 0);
      if (sound !== 0 && sound !== audioBytes) {
        const shown = pictures ? " and pictures" : "";
        throw new InputError(
          `${what}: bytes is ${bytes}; it may be ${
            audioBytes + bytes - sound
          } (${samples} samples ` +
            `of 16 bits${shown}), or ${bytes - sound} without sound`,
        );
      }
      const body = await this.#take(bytes);
      if (body.length < bytes) return breaksOff(`has ${body.length} of ${bytes} bytes`);
      yield {
        audio: sound === 0 ? null : fromPcm16(body.subarray(0, sound)),
        frames: pictures ? body.slice(sound) : null,
        ...(text === "" ? {} : { text }),
      };
    }
  }

  /** The next line, or what there is of it before the end. */
  async #line(what: string): Promise<{ line: Uint8Array; isWhole: boolean }> {
    const line = new Uint8Array(longestLine);
    for (let length = 0; length < longestLine; length++) {
      const [byte] = await this.#take(1);
      if (byte === undefined || byte === newLine) {
        return { line: line.subarray(0, length), isWhole: byte === newLine };
      }
      line[length] = byte;
    }
    throw new InputError(`${what}: its line has more than ${longestLine} bytes: end it earlier`);
  }

  /** So many bytes, or what there is of them before the end. */
  async #take(bytes: number): Promise<Uint8Array> {
    while (this.#queue.size < bytes && !this.#queue.ended) await this.#queue.read();
    const taken = new Uint8Array(Math.min(bytes, this.#queue.size));
    this.#queue.take(taken);
    return taken;
  }

  #message({ unit, text, audio, frames }: Answer, agent: StreamShape): Uint8Array {
    const pictures = this.#answersPictures;
    const body = concat([toPcm16(audio), ...(pictures ? [frames] : [])]);
    const line: Answered = {
      ...{ bytes: body.length, unit, text, active: isActive(rms(audio)), pictures },
      sample_rate: agent.sampleRate,
    };
    return concat([new TextEncoder().encode(`${JSON.stringify(line)}\n`), body]);
  }
}

function parse(line: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
  } catch {
    const text = valueText(new TextDecoder().decode(line));
    throw new InputError(
      `${what}: its line ${text} is no JSON: it should look like {"bytes": 5120}`,
    );
  }
}
