/**
 * A tokenizer of bytes in Hugging Face's `tokenizer.json` format: token b is byte b, so that a
 * small vocabulary covers every text.
 */
import { byteLetters } from "../checkpoint/tokenizer.ts";

/** Special tokens, from id 256 on. */
export const byteSpecials = ["<|sil|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"] as const;

/** Id of the filler token: the agent says nothing. */
export const byteFiller = 256;

/** The byte tokenizer as the content of a `tokenizer.json`. */
export function byteTokenizerJson(): Record<string, unknown> {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: byteSpecials.map((content, i) => addedToken(256 + i, content)),
    normalizer: null,
    pre_tokenizer: { ...byteLevel, use_regex: false },
    post_processor: null,
    decoder: { ...byteLevel, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(byteLetters().map((letter, byte) => [letter, byte])),
      merges: [],
    },
  };
}

/** An entry of a `tokenizer.json`'s added_tokens for a special token. */
export function addedToken(id: number, content: string): Record<string, unknown> {
  return {
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  };
}
