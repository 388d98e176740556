import { assertEquals } from "@std/assert";
import { openConfig } from "../../../engine/checkpoint/checkpoint.ts";
import { untrained } from "../../../io/run/run_model.ts";

Deno.test("what a checkpoint wasn't trained with is said where it is given", async () => {
  const nano = await openConfig(new URL("../../../engine/models/nano-1", import.meta.url));
  const given = { quiet: false, prompt: "p", persona: "a.png", voice: "a.wav", "user-text": "t" };
  const said = (trained_with: typeof nano.trained_with, options: typeof given) => {
    const { trained_with: _, ...config } = nano;
    return untrained("m", trained_with ? { ...config, trained_with } : config, options)
      .map((line) => line.split(":")[0]);
  };
  assertEquals(said(nano.trained_with, given), ["--prompt", "--persona", "--voice"]);
  assertEquals(said([], given), ["--prompt", "--persona", "--voice", "--user-text"]);
  assertEquals(said(["prompt", "persona", "voice", "user_text"], given), []);
  assertEquals(said(undefined, given), [], "not known");
  assertEquals(untrained("m", nano, { quiet: false }), []);
});
