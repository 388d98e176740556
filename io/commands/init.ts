/** `init`: writes a new checkpoint with seeded random weights. */
import {
  type BackboneFolder,
  openBackbone,
  openConfig,
} from "../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../engine/config/errors.ts";
import {
  newCheckpoint,
  type NewCheckpointOptions,
  randomParameters,
} from "../../engine/models/new_checkpoint.ts";
import { preset as presetConfig, presetNames } from "../../engine/models/presets.ts";
import { writeSafetensors } from "../../engine/weights/safetensors_writer.ts";
import { runCommand } from "../cli/commands.ts";
import type { CommandSpec, Option, Parsed } from "../cli/options.ts";
import { media } from "../../engine/checkpoint/coders.ts";
import { CodecPart } from "../../engine/families/part.ts";
import { writeAll } from "../system/bytes.ts";
import { interruptedCode } from "../system/interrupt.ts";
import { checkFree, inNewFolder } from "../system/new_folder.ts";
import { say } from "../system/terminal.ts";
import { elements } from "../../kernels/gpu/tensor.ts";

export const summary = "make a checkpoint with seeded random weights";

const dtypes = { f16: "F16", f32: "F32", bf16: "BF16" } as const;

const spec = {
  name: "init",
  summary,
  usage: "--preset NAME | --config FILE --seed N -o DIR [options]",
  options: {
    preset: { kind: "choice", choices: presetNames, help: "the model's shape" },
    config: { kind: "text", value: "FILE", help: "its shape as a checkpoint's config.json" },
    seed: { kind: "whole", min: 0, max: 0xffffffff, help: "seed of the weights (0)" },
    output: { kind: "text", value: "DIR", short: "o", help: "the folder to write" },
    dtype: { kind: "choice", choices: ["f16", "f32", "bf16"], help: "storage of weights (f16)" },
    backbone: {
      kind: "text",
      value: "DIR",
      help: "Qwen3 or Qwen2.5 folder as published: its weights and tokenizer are taken",
    },
    "audio-codec": { kind: "text", value: "DIR", help: "a published codec's folder or file" },
    "video-codec": { kind: "text", value: "DIR", help: "a published codec's folder or file" },
    force: { kind: "flag", help: "write into a folder that holds something already" },
  },
  examples: [
    "wanstream init --preset nano --seed 1 -o out/nano",
    "wanstream init --preset v0.1-0.6b --dtype bf16 --backbone Qwen3-0.6B -o out/v0.1",
    "wanstream init --preset v0.1-0.6b --backbone Qwen3-0.6B --audio-codec mimi --video-codec " +
    "taew2_1.safetensors -o models/mine",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

export const run = (args: string[]) => runCommand(spec, args, init);

async function init(
  options: Parsed<typeof spec.options>["options"],
  operands: string[],
): Promise<number> {
  if (operands[0] !== undefined) {
    throw new InputError(`init takes no operand '${operands[0]}': the folder is given with -o`);
  }
  const { preset, config, seed = 0, output, dtype = "f16" } = options;
  const name = preset ?? config;
  if (name === undefined) {
    throw new InputError(`init needs --preset: one of ${presetNames.join(", ")}; or --config FILE`);
  }
  if (preset !== undefined && config !== undefined) {
    throw new InputError("init takes --preset or --config, not both");
  }
  if (output === undefined) throw new InputError("init needs -o DIR, the folder to write");
  const folder = output.replace(/(?<=.)\/+$/, "");
  await checkFree(folder, options.force);

  let backbone: BackboneFolder | undefined;
  const codecs: NonNullable<NewCheckpointOptions["codecs"]> = {};
  try {
    if (options.backbone !== undefined) backbone = await openBackbone(options.backbone);
    for (const medium of media) {
      const path = options[`${medium}-codec`];
      if (path !== undefined) codecs[medium] = await CodecPart.open(path, medium);
    }
    const checkpoint = await newCheckpoint({
      shape: preset === undefined ? await openConfig(name) : presetConfig(preset),
      name,
      seed,
      dtype: dtypes[dtype],
      ...(backbone ? { backbone } : {}),
      codecs,
    });
    const done = await inNewFolder(folder, async (partial, signal) => {
      for (const [name, text] of checkpoint.files) {
        await Deno.writeTextFile(`${partial}/${name}`, text);
      }
      for (
        const [name, { tensors, data }] of [...checkpoint.rests, [
          "model.safetensors",
          checkpoint,
        ]] as const
      ) {
        using file = await Deno.create(`${partial}/${name}`);
        await writeSafetensors(tensors, data, {
          async write(bytes) {
            signal.throwIfAborted();
            await writeAll(file, bytes);
          },
        });
      }
    });
    if (!done) return interruptedCode;
    const parameters = checkpoint.tensors.reduce((n, { shape }) => n + elements(shape), 0);
    const million = (n: number) => `${(n / 1e6).toFixed(1)} million`;
    const { parts } = checkpoint.config;
    say(
      `${folder}: ${name}, ${million(parameters)} parameters, weights ${
        parts ? "from parts and " : ""
      }random (seed ${seed}): not trained`,
    );
    for (const { part, family, name, licence } of parts ?? []) {
      say(`${part.replace("_", " ")}: ${name} (${family}), licence ${licence ?? "not stated"}`);
    }
    if (parts) {
      const random = [...randomParameters(checkpoint.config)];
      say(
        `random: ${random.map(([what, n]) => `${what} ${n.toLocaleString("en-US")}`).join(", ")}`,
      );
    }
    return 0;
  } finally {
    backbone?.weights.close();
    for (const part of Object.values(codecs)) part.close();
  }
}
