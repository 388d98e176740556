/** What a session is asked for, checked before anything is opened. */
import { assertEquals, assertThrows } from "@std/assert";
import { unitLayout } from "../../../engine/checkpoint/unit.ts";
import { InputError } from "../../../engine/config/errors.ts";
import { resolveSettings } from "../../../engine/model/settings.ts";
import { byteTokenizerJson } from "../../../engine/models/byte_tokenizer.ts";
import { tinyConfig } from "../tiny_checkpoint.ts";

Deno.test("resolveSettings() refuses a prompt that history can't hold, with both figures", () => {
  const config = tinyConfig();
  const checkpoint = { config, tensors: new Map(), tokenizer: byteTokenizerJson() };
  const limit = config.history_units * unitLayout(config).tokens;
  assertEquals(
    resolveSettings(checkpoint, { prompt: "x".repeat(limit) }).promptIds.length,
    limit,
  );
  assertThrows(
    () => resolveSettings(checkpoint, { prompt: "x".repeat(limit + 1) }),
    InputError,
    `${limit + 1} tokens are more than the ${limit}`,
  );
});
