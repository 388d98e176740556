/** Stand-ins for a session that play a part in recordings with truth records: the oracle itself, or
 * worse. For tests of the measures; need no GPU. */
import type { Media } from "../../../engine/model/unit_coders.ts";
import type { ModelConfig } from "../../../engine/config/config.ts";
import type { Observation, Response } from "../../../engine/checkpoint/unit.ts";
import { openRecording, type Recording } from "../../../io/eval/recordings.ts";
import { openInput } from "../../../io/ends/observe.ts";
import type { UnitSession } from "../../../io/pace/pump.ts";
import type { OpenedSession } from "../../../io/run/run_model.ts";
import { streamShapes } from "../../../io/media/stream_shape.ts";
import { finder } from "../media.ts";

/** What an agent gives in every unit of a recording. */
export interface Part {
  /** Per unit; "" is nothing. */
  texts: string[];
  media: Media[];
}

/** The oracle's part, as recorded; of a recording without it, a tone where the record says so. */
export async function oraclePart(folder: string, config: ModelConfig): Promise<Part> {
  const recording = await openRecording(folder);
  const { truth } = recording;
  const texts = truth.timeline.map(({ word }) => word === null ? "" : ` ${word}`);
  const media = recording.agent === null
    ? tones(recording, config)
    : await mediaOf(recording.agent, config);
  return { texts, media: media.slice(0, truth.units) };
}

/** All units of a file that has picture and sound of the agent's shape. */
async function mediaOf(path: string, config: ModelConfig): Promise<Media[]> {
  const { observations } = await openInput(path, streamShapes(config).agent, finder);
  const units: Media[] = [];
  for await (const { audio, frames } of observations) {
    if (audio && frames) units.push({ audio, frames });
  }
  return units;
}

function tones({ truth }: Recording, config: ModelConfig): Media[] {
  const silent = silence(config);
  return truth.timeline.map(({ agent }) =>
    agent ? { ...silent, audio: new Float32Array(silent.audio.length).fill(0.1) } : silent
  );
}

/** A unit of nothing. */
export function silence(config: ModelConfig): Media {
  const { samples, frames, width, height } = streamShapes(config).agent;
  return {
    audio: new Float32Array(samples),
    frames: new Uint8Array(frames * width * height * 3).fill(128),
  };
}

/** An opener of sessions that play these parts, one after the other, whatever they hear. */
export function player(parts: readonly Part[]): { open(): Promise<OpenedSession>; opened: number } {
  const all = {
    opened: 0,
    open(): Promise<OpenedSession> {
      const part = parts[all.opened++] ?? { texts: [], media: [] };
      return Promise.resolve({
        session: play(part),
        info: { placement: "fused" },
        line: "a player",
        checkpointDigest: "0",
      });
    },
  };
  return all;
}

/** A session that answers unit by unit with its part, and says nothing beyond its end. */
export function play({ texts, media }: Part): UnitSession {
  const queue: Observation[] = [];
  let wake = () => {};
  let ended = false;
  return {
    push(observation) {
      queue.push(observation);
      wake();
      return Promise.resolve();
    },
    end() {
      ended = true;
      wake();
    },
    close() {
      this.end();
      return Promise.resolve();
    },
    async *[Symbol.asyncIterator](): AsyncGenerator<Response> {
      for (let unit = 0;;) {
        if (queue.shift()) {
          const given = media[unit];
          if (!given) throw new Error(`the part has no unit ${unit}`);
          yield response(unit, texts[unit] ?? "", given);
          unit++;
        } else if (ended) return;
        else await new Promise<void>((resolve) => wake = resolve);
      }
    },
  };
}

function response(unit: number, text: string, { audio, frames }: Media): Response {
  const stages = {
    encode: 0,
    pass: 0,
    sendSlice: 0,
    solve: 0,
    sendLatents: 0,
    decode: 0,
    wait: 0,
    total: 0,
  };
  return { unit, text, tokens: [], audio, frames, digest: "", historyTokens: 0, stages };
}

/** A codec that loses nothing. */
export const perfectCodec = {
  reset() {},
  roundTrip: (media: Media) => Promise.resolve(media),
  close() {},
};
