/**
 * Parts of a composed checkpoint, exported again as they were published. `init` keeps of each part its
 * config, the headers of its files, and the tensors that have no place in the checkpoint, so that what
 * wasn't trained comes out byte for byte.
 */
import { openStored } from "../checkpoint/checkpoint.ts";
import { media } from "../checkpoint/coders.ts";
import { nameMapFor, ownName } from "../checkpoint/name_maps.ts";
import type { ModelConfig, PartName } from "../config/config.ts";
import { Fields } from "../config/config_fields.ts";
import { valueText } from "../config/error_text.ts";
import { InputError } from "../config/errors.ts";
import { codecRules, type CodecStream } from "../families/codec.ts";
import { taken, type TensorRule } from "../families/family.ts";
import { unread } from "../families/part.ts";
import { familyOf } from "../families/registry.ts";
import { readJson } from "../weights/files.ts";
import { dtypeBytes, headerBytes, parseHeader, type TensorEntry } from "../weights/safetensors.ts";
import { isPlainShard, WeightFiles } from "../weights/weight_files.ts";

/** What is kept of a part beside the checkpoint's weights. */
export const keptFiles = (part: PartName) => ({
  json: `${part}.part.json`,
  rest: `${part}.part.safetensors`,
});

/** A file of an exported part. */
export interface ExportedFile {
  name: string;
  chunks: AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/** The text that `keptFiles.json` holds. */
export function keptText(config: unknown, weights: WeightFiles): string {
  const headers = Object.fromEntries(
    [...weights.headers].map(([path, header]) => [path.replace(/^.*\//, ""), header]),
  );
  return `${JSON.stringify({ config, headers }, null, 1)}\n`;
}

/** The headers of a part's files by name. @throws InputError */
function keptHeaders(fields: Fields): [name: string, text: string][] {
  const headers = Object.entries(fields.get("headers") ?? {});
  const fit = headers.length > 0 &&
    headers.every((header): header is [string, string] =>
      isPlainShard(header[0]) && typeof header[1] === "string"
    );
  if (fit) return headers;
  throw fields.error("headers", "texts by plain file names that end in .safetensors");
}

/** What each of our tensors of a part is made of. */
function rulesOf(
  config: ModelConfig,
  part: PartName,
  kept: { where: string; config: unknown; tensors: ReadonlyMap<string, TensorEntry> },
  ours: readonly string[],
): Map<string, TensorRule> {
  if (part === "backbone") {
    const map = nameMapFor(
      [...kept.tensors.keys()],
      ours.filter((name) => /^(model|lm_head)\./.test(name)),
    );
    const rules = [...kept.tensors].map(([name, { shape }]): [string, TensorRule] => [
      ownName(name, map),
      taken(name, shape),
    ]);
    return new Map(rules);
  }
  const medium = media.find((medium) => part.startsWith(medium)) ?? "audio";
  const { width, height } = config.response.video;
  const stream: CodecStream = { unitMs: config.unit_ms, fps: config.fps, width, height };
  const codec = familyOf(kept, medium).read(kept, medium);
  // What 'init' put between the codec and the model.
  const before = config.response[medium].decoder.length - codec.decoder.layers.length;
  const brought = { where: kept.where, codec, family: part };
  const rules = codecRules(brought, stream, before);
  return new Map([...rules].map(([name, { rule }]) => [name, rule]));
}

/**
 * Gives the files of a part.
 *
 * @throws InputError when the checkpoint wasn't composed of such a part, or a tensor has another type than
 * it was published in.
 */
export async function exportPart(
  folder: string,
  part: PartName,
): Promise<{ files: ExportedFile[]; close(): void }> {
  const { config, weights } = await openStored(folder);
  const open = [weights];
  const close = () => open.forEach((each) => each.close());
  try {
    const origin = config.parts?.find((each) => each.part === part);
    if (!origin) {
      const has = config.parts?.map(({ part }) => part).join(", ") || "none";
      throw new InputError(`${folder}: has no part ${part}; its parts: ${has}`);
    }
    const { json, rest: restName } = keptFiles(part);
    const where = `${folder}/${json}`;
    const fields = new Fields(await readJson(where, 256 << 20), where);
    const headers = keptHeaders(fields);
    const rest = await WeightFiles.open(`${folder}/${restName}`);
    open.push(rest);
    const parsed = headers.map(([name, text]) => {
      const bytes = headerBytes(text);
      const ends = [...text.matchAll(/"data_offsets":\s*\[\s*\d+\s*,\s*(\d+)/g)].map(([, n]) =>
        Number(n)
      );
      const size = bytes.length + ends.reduce((most, end) => Math.max(most, end), 0);
      return { name, bytes, tensors: parseHeader(bytes.subarray(8), size, `${where}: ${name}`) };
    });
    const tensors = new Map(parsed.flatMap(({ tensors }) => [...tensors]));
    const found = { where, config: fields.get("config"), tensors };
    const rules = rulesOf(config, part, found, [...weights.entries.keys()]);
    // Where each of theirs is: one of several that ours is joined of.
    const places = new Map<string, { ours: string; rule: TensorRule; at: number }>();
    for (const [ours, rule] of rules) {
      let at = 0;
      for (const { name } of rule.from) {
        places.set(name, { ours, rule, at });
        const { begin = 0, end = 0 } = tensors.get(name) ?? {};
        at += end - begin;
      }
    }
    const bytesOf = async function* (name: string, { begin, end, dtype }: TensorEntry) {
      if (rest.entries.has(name)) return yield* rest.chunks(name);
      const place = places.get(name);
      const ours = place?.ours === "lm_head.weight" && config.tie_word_embeddings
        ? "model.embed_tokens.weight"
        : place?.ours ?? name;
      const [entry, first] = [weights.entries.get(ours), place?.at ?? 0];
      if (!entry || (entry.stored === dtype && first + end - begin > entry.length)) {
        throw new InputError(
          `${where}: names the tensor ${valueText(name)} of ${end - begin} bytes, which the ` +
            `checkpoint doesn't hold: compose it with 'init' again`,
        );
      }
      if (entry.stored !== dtype) {
        throw new InputError(
          `${folder}: tensor ${
            valueText(ours)
          } has dtype ${entry.stored}; ${origin?.name} had it as ` +
            `${dtype}: convert it to that`,
        );
      }
      const bytes = new Uint8Array(end - begin);
      await weights.read(ours, first, bytes);
      yield place ? unread(bytes, name, place.rule, dtypeBytes[entry.dtype]) : bytes;
    };
    const whole = async function* ({ bytes, tensors }: (typeof parsed)[number]) {
      yield bytes;
      const inOrder = [...tensors].sort(([, a], [, b]) => a.begin - b.begin);
      for (const [name, entry] of inOrder) yield* bytesOf(name, entry);
    };
    const textOf = async function* (content: unknown) {
      yield new TextEncoder().encode(`${JSON.stringify(content, null, 2)}\n`);
    };
    const files = parsed.map((file) => ({ name: file.name, chunks: whole(file) }));
    const weight_map = Object.fromEntries(
      parsed.flatMap(({ name, tensors }) => [...tensors.keys()].map((tensor) => [tensor, name])),
    );
    const index = `${parsed[0]?.name.replace(/-\d+-of-\d+/, "")}.index.json`;
    const published = fields.get("config");
    return {
      files: [
        ...(published === null ? [] : [{ name: "config.json", chunks: textOf(published) }]),
        ...(files.length > 1
          ? [{ name: index, chunks: textOf({ metadata: {}, weight_map }) }]
          : []),
        ...files,
      ],
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
