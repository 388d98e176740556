/**
 * `logmel`: log(mel power + 1e-5) of periodic Hann windows that end where the hop ends, by triangles
 * of height 1 on HTK's mel scale from 0 to half of the sample rate.
 */
import { InputError } from "../../config/errors.ts";
import { carry } from "../../../kernels/codec/carry.ts";
import {
  freeTables,
  logmel as logmelSteps,
  logmelTables,
  spectrumChannels,
} from "../../../kernels/codec/logmel.ts";
import { channelRange, divide, type LayerOp, requireAudio } from "./layer.ts";

export type LogmelConfig = { op: "logmel"; window: number; fft: number; hop: number; mels: number };

/** The samples before a unit's first that its first window covers. */
function state({ window, hop }: LogmelConfig): { past?: number[] } {
  return window > hop ? { past: [window - hop, 1, 1, 1] } : {};
}

export const logmel = {
  parse(fields) {
    const fft = fields.whole("fft", [2, 65536]);
    if (Math.log2(fft) % 1 !== 0) throw fields.error("fft", "a power of two");
    return {
      op: "logmel",
      window: fields.whole("window", channelRange),
      fft,
      hop: fields.whole("hop", channelRange),
      mels: fields.whole("mels", [1, fft / 2]),
    };
  },
  shape({ window, fft, hop, mels }, input, what) {
    requireAudio(input, what);
    const [samples, , , channels] = input;
    if (channels !== 1) {
      throw new InputError(`${what}: reads samples (1 channel), not ${channels} channels`);
    }
    if (window > fft || window < hop) {
      throw new InputError(
        `${what}: window ${window} must be at least hop ${hop} and at most fft ${fft}`,
      );
    }
    const [frames] = divide([samples, 1, 1], [hop, 1, 1], what, "hop");
    return [frames, 1, 1, mels];
  },
  state,
  // log(power + 1e-5) of speech and of silence lies between -11.5 and 3.
  meanSquare: () => 60,
  steps(layer, scope, x, y) {
    const { gpu, label, memory, settings: { sampleRate } } = scope;
    const tables = scope.constant(
      "tables",
      (owner) => logmelTables(owner, label, { ...layer, sampleRate }),
      (made) => freeTables(gpu, made),
    );
    const { past } = scope.state(state(layer));
    const output = y();
    const spectrum = memory.take([output.shape[0] ?? 0, 1, 1, spectrumChannels(layer)]);
    const steps = logmelSteps(gpu, {
      label,
      x,
      tables,
      spectrum,
      y: output,
      ...(past ? { state: past } : {}),
    });
    memory.release(spectrum);
    return past ? [...steps, carry(gpu, { label, x, state: past })] : steps;
  },
} satisfies LayerOp<LogmelConfig>;
