/** Our own checkpoints: the response codecs in a folder like nano's. */
import { type Medium, responseDecoder, responseEncoder } from "../checkpoint/coders.ts";
import { validateConfig } from "../checkpoint/config_check.ts";
import { type Coder, coderOutput, coderParameters } from "../layers/coder.ts";
import { type CodecFamily, configText, type PartCoder, taken } from "./family.ts";

/** Every parameter under the name that it has in the checkpoint. */
function part(coder: Coder): PartCoder {
  const { parameters } = coderParameters(coder);
  const rules = Object.entries(parameters).map(([name, { shape }]) => [
    name.slice(coder.name.length + 1),
    taken(name, shape),
  ]);
  return { layers: coder.layers, tensors: Object.fromEntries(rules) };
}

export const wanstream: CodecFamily = {
  name: "wanstream",
  media: ["audio", "video"],
  recognises: (found) => configText(found, "model_type") === "wanstream",
  read(found, medium: Medium) {
    const config = validateConfig(found.config, `${found.where}/config.json`);
    const encoder = responseEncoder(config, medium);
    const [time, height, width, channels] = coderOutput(encoder);
    const [inTime, inHeight, inWidth] = encoder.input;
    return {
      medium,
      sampleRate: medium === "audio" ? config.response.audio.sample_rate : null,
      hop: inTime / time,
      multiple: Math.max(inHeight / height, inWidth / width),
      channels,
      encoder: part(encoder),
      decoder: part(responseDecoder(config, medium)),
      ...(medium === "video" && config.response.video.first_frame_alone
        ? { keys: { first_frame_alone: true } }
        : {}),
      // The rest of the model.
      unused: [/^/],
    };
  },
};
