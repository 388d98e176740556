/**
 * Text to token ids and back, for byte-level tokenizers (Qwen's and the byte tokenizer) in Hugging
 * Face's `tokenizer.json` format.
 *
 * @huggingface/tokenizers encodes. Decoding is done here: a unit holds one or two tokens, so a
 * character of several bytes often spans units, and its bytes must be carried from unit to unit.
 */
import { Tokenizer as HuggingFaceTokenizer } from "npm:@huggingface/tokenizers@0.2.0";
import type { ModelConfig } from "../config/config.ts";
import { InputError } from "../config/errors.ts";
import { errorText, valueText } from "../config/error_text.ts";

export interface Tokenizer {
  /** Token ids of a text; special tokens written out in it (`<|im_end|>`) become their ids. */
  encode(text: string): number[];
  /** The text of these ids; filler, special and unknown tokens are left out. */
  decode(ids: Iterable<number>): string;
  /** The bytes of UTF-8 that a token stands for: none for filler, special and unknown tokens. */
  bytes(id: number): Uint8Array;
  /** How a token is written: filler and special tokens by their name, bytes that are no character as
   * U+FFFD, unknown tokens as nothing. */
  nameOf(id: number): string;
}

/**
 * The letters that stand for bytes in byte-level vocabularies (GPT-2's): printable Latin-1 stands
 * for itself, the other bytes for letters from U+0100 on.
 */
export function byteLetters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCharCode(printable ? byte : next++);
  });
}

const byteOfLetter = new Map(byteLetters().map((letter, byte) => [letter, byte]));

/**
 * Opens a parsed `tokenizer.json`.
 *
 * @param config The checkpoint's: its filler is left out of texts, its vocabulary must hold all ids.
 * @throws InputError when the file isn't a byte-level tokenizer or has more ids than the model.
 */
export function openTokenizer(
  json: unknown,
  config: Pick<ModelConfig, "vocab_size" | "filler_token_id">,
): Tokenizer {
  checkIds(json, config.vocab_size);
  const inner = openInner(json);
  const added = inner.get_added_tokens_decoder();
  const bytes = (id: number): Uint8Array => {
    const literal = added.get(id);
    if (id === config.filler_token_id || literal?.special) return new Uint8Array();
    if (literal) return new TextEncoder().encode(literal.content);
    return letterBytes(inner.id_to_token(id) ?? "");
  };
  return {
    nameOf: (id) => added.get(id)?.content ?? new TextDecoder().decode(bytes(id)),
    encode: (text) => inner.encode(text, { add_special_tokens: false }).ids,
    decode(ids) {
      const stream = new TextStream({ bytes });
      return [...ids].map((id) => stream.push(id)).join("") + stream.flush();
    },
    bytes,
  };
}

/** Refuses ids that the model doesn't have: the library would make a list as long as the largest. */
function checkIds(json: unknown, vocabSize: number): void {
  const { model, added_tokens: added } = (json ?? {}) as {
    model?: { vocab?: unknown } | null;
    added_tokens?: unknown;
  };
  const vocab = model?.vocab;
  const ids: unknown[] = typeof vocab === "object" && vocab ? Object.values(vocab) : [];
  if (Array.isArray(added)) ids.push(...added.map((token) => token?.id));
  const bad = ids.find((id) => !(Number.isSafeInteger(id) && Number(id) >= 0));
  if (bad !== undefined) {
    throw new InputError(
      `tokenizer.json: has the id ${
        valueText(bad)
      }; it may be a whole number, 0 or more; download it again`,
    );
  }
  const largest = ids.reduce<number>((most, id) => Math.max(most, Number(id)), -1);
  if (largest >= vocabSize) {
    throw new InputError(
      `tokenizer.json: has ids up to ${largest}, but config.json's vocab_size is ${vocabSize}; ` +
        `take both from the same checkpoint`,
    );
  }
}

function openInner(json: unknown): HuggingFaceTokenizer {
  const decoder = (json as { decoder?: { type?: unknown; decoders?: unknown } } | null)?.decoder;
  if (decoder?.type !== "ByteLevel") {
    throw new InputError(
      `tokenizer.json: decoder is ${valueText(decoder?.type)}; it may be "ByteLevel", as in Qwen's`,
    );
  }
  try {
    return new HuggingFaceTokenizer(json as object, {});
  } catch (error) {
    throw new InputError(
      `tokenizer.json: can't be used (${errorText(error)}); download it again`,
    );
  }
}

/** Byte-level letters back to the bytes they stand for. */
function letterBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const letter of token) {
    const byte = byteOfLetter.get(letter);
    if (byte === undefined) return new TextEncoder().encode(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/**
 * Turns a stream of token ids into text: each push returns the characters that it completes, and
 * the first bytes of an unfinished one wait for the next. Bytes that aren't UTF-8 become U+FFFD.
 */
export class TextStream {
  #tokenizer: Pick<Tokenizer, "bytes">;
  #pending: Uint8Array;
  // Each call decodes a piece of the text, and only the whole text may begin with a BOM: it is kept.
  #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

  /** @param pending Bytes of an unfinished character, from `pending` of a saved stream. */
  constructor(tokenizer: Pick<Tokenizer, "bytes">, pending: Uint8Array = new Uint8Array()) {
    this.#tokenizer = tokenizer;
    this.#pending = pending.slice();
  }

  /** The text that this token completes; empty for filler, specials and unfinished characters. */
  push(id: number): string {
    const bytes = Uint8Array.from([...this.#pending, ...this.#tokenizer.bytes(id)]);
    const end = bytes.length - unfinished(bytes);
    this.#pending = bytes.slice(end);
    return this.#utf8.decode(bytes.subarray(0, end));
  }

  /** Ends the stream: U+FFFD for an unfinished character, else nothing. */
  flush(): string {
    const rest = this.#utf8.decode(this.#pending);
    this.#pending = new Uint8Array();
    return rest;
  }

  /** Bytes of the unfinished character, at most 3: the stream's whole state. */
  get pending(): Uint8Array {
    return this.#pending.slice();
  }
}

/** How many bytes at the end begin a UTF-8 character that isn't complete yet (0 to 3). */
function unfinished(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return back < length ? back : 0;
    }
  }
  return 0;
}
