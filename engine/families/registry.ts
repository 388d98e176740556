/** The families of codecs. To add one: its file, and a line of this table. */
import { InputError } from "../config/errors.ts";
import { valueText } from "../config/error_text.ts";
import type { Medium } from "../checkpoint/coders.ts";
import { type CodecFamily, configText, type Found } from "./family.ts";
import { mimi } from "./mimi.ts";
import { taehv } from "./taehv.ts";
import { wanVae } from "./wan_vae.ts";
import { wanstream } from "./wanstream.ts";

export const codecFamilies: readonly CodecFamily[] = [wanstream, mimi, wanVae, taehv];

/** Layouts that people may try and that aren't read: by `model_type` or `_class_name` of the config, or
 * by a tensor's name. */
const otherLayouts: readonly {
  is: string;
  types?: readonly string[];
  tensor?: RegExp;
  instead?: string;
}[] = [
  {
    is: "Mimi in Kyutai's own layout",
    tensor: /^quantizer\.rvq_first\./,
    instead: "take kyutai/mimi, which transformers' MimiModel reads",
  },
  { is: "Moshi", types: ["moshi"], tensor: /^(depformer\.|depth_decoder\.|text_emb\.)/ },
  { is: "EnCodec", types: ["encodec"] },
  { is: "DAC", types: ["dac"] },
  { is: "Stable Audio's Oobleck", types: ["AutoencoderOobleck"] },
  { is: "SigLIP", types: ["siglip", "siglip2", "siglip_vision_model", "siglip2_vision_model"] },
  { is: "LTX-Video's VAE", types: ["AutoencoderKLLTXVideo", "AutoencoderKLLTX2Video"] },
  { is: "CogVideoX's VAE", types: ["AutoencoderKLCogVideoX"] },
  { is: "HunyuanVideo's VAE", types: ["AutoencoderKLHunyuanVideo"] },
  { is: "a VAE of single pictures", types: ["AutoencoderKL", "AutoencoderTiny"] },
];

/**
 * The family that reads what was found.
 *
 * @throws InputError that names what it is, where no family reads it or not this medium.
 */
export function familyOf(found: Found, medium: Medium): CodecFamily {
  const family = codecFamilies.find((each) => each.recognises(found));
  if (family?.media.includes(medium)) return family;
  const known = codecFamilies.filter(({ media }) => media.includes(medium)).map(({ name }) => name);
  const may = `families of ${medium} codecs: ${known.join(", ")}`;
  if (family) {
    throw new InputError(`${found.where}: holds no ${medium} codec (${family.name}); ${may}`);
  }
  const type = configText(found, "model_type") ?? configText(found, "_class_name");
  const names = [...found.tensors.keys()];
  const other = otherLayouts.find(({ types, tensor }) =>
    (type !== null && types?.includes(type)) || names.some((name) => tensor?.test(name))
  );
  if (other) {
    throw new InputError(
      `${found.where}: is ${other.is}, which isn't supported; ${other.instead ?? may}`,
    );
  }
  throw new InputError(
    `${found.where}: is no codec that is known (type ${valueText(type ?? undefined)}, ` +
      `${names.length} tensors, the first ${valueText(names[0])}); ${may}`,
  );
}
