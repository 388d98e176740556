import { assertEquals } from "@std/assert";
import { addedToken, byteTokenizerJson } from "../../../engine/models/byte_tokenizer.ts";
import { openTokenizer, TextStream } from "../../../engine/checkpoint/tokenizer.ts";
import { assertInputError } from "../tiny_checkpoint.ts";

const config = { vocab_size: 272, filler_token_id: 256 };
const texts = [
  "",
  "Hello, world.\n",
  "Grüße aus Köln, 東京 \u{1F600}\u{1F1E9}\u{1F1EA}",
  " \t\0 ",
  "\ufeffa",
];

/** A byte-level BPE tokenizer with merges, a split regex and added tokens, as Qwen's is built. */
function qwenLike(): Record<string, unknown> {
  const json = byteTokenizerJson();
  const { vocab } = json.model as { vocab: Record<string, number> };
  for (const merge of ["he", "ll", "llo", "Ġw"]) vocab[merge] = Object.keys(vocab).length;
  const regex =
    "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s+";
  return {
    ...json,
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    model: {
      ...json.model as Record<string, unknown>,
      vocab,
      merges: [["h", "e"], ["l", "l"], ["ll", "o"], ["Ġ", "w"]],
    },
    added_tokens: [
      addedToken(260, "<|im_end|>"),
      { ...addedToken(261, "<think>"), special: false },
    ],
  };
}

Deno.test("the byte tokenizer gives a text's bytes, and the text back", () => {
  const tokenizer = openTokenizer(byteTokenizerJson(), config);
  for (const text of texts) {
    const ids = tokenizer.encode(text);
    assertEquals(ids, [...new TextEncoder().encode(text)]);
    assertEquals(tokenizer.decode(ids), text);
  }
});

Deno.test("Tokenizer.decode() leaves filler, special and unknown tokens out", () => {
  const tokenizer = openTokenizer(byteTokenizerJson(), config);
  assertEquals(tokenizer.encode("a<|sil|>b<|im_end|>"), [97, 256, 98, 259]);
  assertEquals(tokenizer.decode([97, 256, 98, 259, 271, 5000, -1]), "ab");
  const other = openTokenizer(byteTokenizerJson(), { ...config, filler_token_id: 97 });
  assertEquals(other.decode([97, 98]), "b");
});

Deno.test("openTokenizer() reads a byte-level tokenizer with merges, as Qwen's", () => {
  const tokenizer = openTokenizer(qwenLike(), config);
  const ids = tokenizer.encode("hello world<think><|im_end|>");
  assertEquals(ids.slice(0, 3), [256, 258, 259]);
  assertEquals(ids.slice(-2), [261, 260]);
  assertEquals(tokenizer.decode(ids), "llo world<think>");
  for (const text of texts) assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
});

Deno.test("TextStream gives a character in the push that completes it", () => {
  const stream = new TextStream(openTokenizer(byteTokenizerJson(), config));
  const pushed = [...new TextEncoder().encode("aé€\u{1F600}")].map((byte) => stream.push(byte));
  assertEquals(pushed, ["a", "", "é", "", "", "€", "", "", "", "\u{1F600}"]);
  assertEquals(stream.flush(), "");
});

Deno.test("TextStream carries a split character over filler and over a saved state", () => {
  const tokenizer = openTokenizer(byteTokenizerJson(), config);
  const first = new TextStream(tokenizer);
  assertEquals([0xe2, 0x82, 256].map((id) => first.push(id)), ["", "", ""]);
  const second = new TextStream(tokenizer, first.pending);
  assertEquals(second.push(0xac), "€");
  assertEquals(first.flush(), "\ufffd");
  assertEquals(first.flush(), "");
});

Deno.test("TextStream equals decoding all bytes at once, for any bytes", () => {
  const tokenizer = openTokenizer(byteTokenizerJson(), config);
  let seed = 1;
  for (let round = 0; round < 300; round++) {
    const bytes = Array.from({ length: 24 }, () => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      // Mostly lead and continuation bytes: broken sequences of every kind.
      return seed >>> 31 ? (seed >>> 8) & 0xff : 0x80 | ((seed >>> 9) & 0x7f);
    });
    const stream = new TextStream(tokenizer);
    const text = bytes.map((byte) => stream.push(byte)).join("") + stream.flush();
    assertEquals(
      text,
      new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes)),
    );
  }
});

Deno.test("openTokenizer() refuses files that are no byte-level tokenizer or too large", async () => {
  for (const json of [null, 3, {}, { decoder: null }, { decoder: { type: "Metaspace" } }]) {
    await assertInputError(() => openTokenizer(json, config), "tokenizer.json: decoder is");
  }
  await assertInputError(
    () => openTokenizer({ decoder: { type: "ByteLevel" } }, config),
    "tokenizer.json: can't be used",
  );
  await assertInputError(
    () => openTokenizer(byteTokenizerJson(), { ...config, vocab_size: 258 }),
    "ids up to 259",
    "vocab_size is 258",
  );
});

Deno.test("openTokenizer() refuses ids that would make a list of any length", async () => {
  for (const id of [2 ** 31, 1e9, 2 ** 53, 0.5, -1]) {
    const json = byteTokenizerJson() as { model: { vocab: Record<string, number> } };
    const hostile = { ...json, model: { ...json.model, vocab: { ...json.model.vocab, A: id } } };
    await assertInputError(
      () => openTokenizer(hostile, { vocab_size: 264, filler_token_id: 256 }),
      "tokenizer.json: has",
    );
  }
});
