/** A stream through codecs and back, unit by unit: samples and pictures, or latents from a file. */
import { media, type Medium } from "../../engine/checkpoint/coders.ts";
import { UnitCodec } from "../../engine/model/unit_codec.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { elements, type FloatType } from "../../kernels/gpu/tensor.ts";
import type { Output } from "../ends/ends.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import {
  type AudioFidelity,
  PictureFidelity,
  SoundFidelity,
  type VideoFidelity,
} from "./fidelity.ts";
import type {
  Codecs,
  FirstLatents,
  LatentsFile,
  LatentsWriter,
  UnitLatents,
} from "./latents_file.ts";

/** A unit of what goes in: what a medium lacks is silence, or black. */
export type Given =
  | { media: { audio: Float32Array | null; frames: Uint8Array | null } }
  | { latents: UnitLatents; first?: Float32Array | null };

export interface RoundTrip {
  codecs: Codecs;
  shape: StreamShape;
  /** Null: only encodes. */
  output: Output | null;
  latents: LatentsWriter | null;
  signal: AbortSignal;
  /** Called after each unit. */
  progress(units: number): void;
}

/** One medium of the result. */
export interface MediumFigures {
  codec: string;
  where: string;
  digest: string;
  latents: {
    perSecond: number;
    channels: number;
    floatsPerSecond: number;
    /** Where they are codes. */
    bitsPerSecond: number | null;
  };
}

export interface Figures {
  units: number;
  /** Of stream. */
  seconds: number;
  /** That encoders and decoders took. */
  codecSeconds: number;
  realTimeFactor: number | null;
  audio: MediumFigures & AudioFidelity | null;
  video: MediumFigures & VideoFidelity | null;
}

/** The codecs of a run on one device. */
export class RoundTripper {
  readonly units: Partial<Record<Medium, UnitCodec>> = {};
  private readonly codecs: Codecs;

  constructor(gpu: Gpu, codecs: Codecs, storage: FloatType) {
    this.codecs = codecs;
    for (const medium of media) {
      const codec = codecs[medium];
      if (codec) this.units[medium] = new UnitCodec(gpu, codec, storage);
    }
  }

  /** [time, height, width, channels] of a unit's latents. */
  get shapes(): Partial<Record<Medium, readonly number[]>> {
    return Object.fromEntries(
      Object.entries(this.units).map(([medium, { latentShape }]) => [medium, latentShape]),
    );
  }

  /** Latents of the pictures' first frame, once it came; null where it doesn't come alone. */
  get first(): FirstLatents | null {
    const { firstShape: shape, firstLatents: values } = this.units.video ?? {};
    return shape && values ? { shape, values } : null;
  }

  /**
   * Runs units until they end, the signal comes, or the output breaks.
   *
   * @returns What they gave, and why the output took no more, if it did.
   */
  async run(
    given: AsyncIterable<Given>,
    trip: RoundTrip,
  ): Promise<{ figures: Figures; broken: Error | null }> {
    const { shape, output } = trip;
    const silence = new Float32Array(shape.samples);
    const black = new Uint8Array(shape.frames * shape.width * shape.height * 3);
    const sound = this.units.audio && new SoundFidelity(shape.sampleRate);
    const pictures = this.units.video && new PictureFidelity(shape);
    let [units, work, compared] = [0, 0, 0];
    let broken: Error | null = null;
    const fail = (error: Error) => {
      broken = error;
    };
    await output?.begin().catch(fail);
    for await (const unit of given) {
      if (broken) break;
      if ("latents" in unit && unit.first) this.units.video?.beginFrom(unit.first);
      const back = { audio: silence, frames: black };
      const latents: UnitLatents = {};
      for (const medium of media) {
        const codec = this.units[medium];
        if (!codec) continue;
        const key = medium === "audio" ? "audio" : "frames";
        const begin = performance.now();
        if ("latents" in unit) {
          Object.assign(back, { [key]: await codec.decode(unit.latents[medium] ?? silence) });
        } else {
          const truth = unit.media[key] ?? (medium === "audio" ? silence : black);
          if (output === null) latents[medium] = await codec.encode(truth);
          else {
            const made = await codec.roundTrip(truth);
            latents[medium] = made.latents;
            Object.assign(back, { [key]: made.output });
          }
        }
        work += performance.now() - begin;
      }
      if (output && "media" in unit) {
        sound?.add(unit.media.audio ?? silence, back.audio);
        pictures?.add(unit.media.frames ?? black, back.frames);
        compared++;
      }
      await trip.latents?.write(latents);
      await output?.write({ unit: units, text: "", ...back }).catch(fail);
      if (broken) break;
      trip.progress(++units);
      if (trip.signal.aborted) break;
    }
    const seconds = (units * shape.unitMs) / 1000;
    const figures = {
      units,
      seconds,
      codecSeconds: work / 1000,
      realTimeFactor: seconds > 0 ? work / 1000 / seconds : null,
      audio: this.#figures("audio", shape, {
        ...(compared > 0 && sound ? sound.result() : { siSdr: null, logMel: null }),
      }),
      video: this.#figures("video", shape, {
        ...(compared > 0 && pictures ? pictures.result() : { psnr: null, ssim: null }),
      }),
    };
    return { figures, broken };
  }

  #figures<T>(medium: Medium, { unitMs }: StreamShape, fidelity: T): MediumFigures & T | null {
    const [codec, unit] = [this.codecs[medium], this.units[medium]];
    if (!codec || !unit) return null;
    const { family, where, digest, bits } = codec;
    const [time = 0, , , channels = 0] = unit.latentShape;
    const perSecond = (n: number) => (n * 1000) / unitMs;
    const latents = {
      perSecond: perSecond(time),
      channels,
      floatsPerSecond: perSecond(elements(unit.latentShape)),
      bitsPerSecond: bits === null ? null : perSecond(time * bits),
    };
    return { codec: family, where, digest, latents, ...fidelity };
  }
}

/** The units of a file of latents. */
export async function* storedUnits(file: LatentsFile, codecs: Codecs): AsyncGenerator<Given> {
  const first = await file.readFirst();
  for (let unit = 0; unit < file.units; unit++) {
    const latents: UnitLatents = {};
    for (const medium of media) {
      if (codecs[medium]) latents[medium] = await file.read(medium, unit);
    }
    yield { latents, ...(unit === 0 ? { first } : {}) };
  }
}

/** What people read at the end. */
export function figuresText(figures: Figures): string {
  const { units, seconds, codecSeconds, realTimeFactor, audio, video } = figures;
  const dB = (value: number | null) => value === null ? "no difference" : `${value.toFixed(2)} dB`;
  const rate = ({ latents }: MediumFigures) => {
    const { perSecond, floatsPerSecond, bitsPerSecond, channels } = latents;
    return bitsPerSecond === null
      ? `${perSecond} latents of ${channels} channels a second, ${floatsPerSecond} floats a second`
      : `${perSecond} times ${channels} codes a second, ${bitsPerSecond} bits a second`;
  };
  const rows = [
    ["units", `${units} (${seconds.toFixed(2)} s of stream)`],
    [
      "real-time factor",
      `${realTimeFactor?.toFixed(3) ?? "none"} (${codecSeconds.toFixed(2)} s of work)`,
    ],
    ...(audio ? [["audio", `${audio.codec}: ${rate(audio)}`]] : []),
    ...(audio?.logMel != null
      ? [
        ["  SI-SDR", audio.siSdr === null ? "silence, or no difference" : dB(audio.siSdr)],
        ["  log-mel distance", dB(audio.logMel)],
      ]
      : []),
    ...(video ? [["video", `${video.codec}: ${rate(video)}`]] : []),
    ...(video?.ssim != null ? [["  PSNR", dB(video.psnr)], ["  SSIM", video.ssim.toFixed(4)]] : []),
  ];
  return rows.map(([name = "", value]) => `${name.padEnd(20)}${value}\n`).join("");
}
