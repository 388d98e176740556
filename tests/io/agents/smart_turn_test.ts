/** Smart Turn: its features against the reference, and the network where it is installed. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import {
  melFrames,
  overAbove,
  smartTurnFile,
  whisperFeatures,
} from "../../../io/agents/smart_turn.ts";
import { Silero } from "../../../io/score/silero.ts";
import { golden, readGoldens } from "../../reference/golden_file.ts";

const judges = new URL("../../../scripts/judges", import.meta.url).pathname;

/** The sound of scripts/reference/whisper_features.py. */
function sound(seconds: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: Math.round(seconds * 16000) }, (_, i) => {
    state = (Math.imul(1103515245, state) + 12345) & 0x7fffffff;
    const step = Math.floor(i / 4000);
    const loudness = step % 7 === 6 ? 0 : 0.5 ** (1 + step % 5);
    const tone = Math.floor(i / (8 + 4 * (step % 9))) % 2 === 0 ? 0.5 : -0.5;
    return loudness * (tone + ((state >> 16) - 16384) / 32768);
  });
}

Deno.test("log-mel features of the last 8 s are those of Whisper's reference", async () => {
  const goldens = await readGoldens("whisper_features.safetensors");
  for (const [name, seconds] of [["short", 3.3], ["long", 9.1]] as const) {
    const features = whisperFeatures(sound(seconds));
    assertEquals(features.length, 80 * melFrames);
    const frames = golden(goldens, `${name}.frames`).data;
    const wanted = golden(goldens, `${name}.features`).data;
    let worst = 0;
    frames.forEach((frame, i) => {
      for (let band = 0; band < 80; band++) {
        const difference = (features[band * melFrames + frame] ?? NaN) -
          (wanted[band * frames.length + i] ?? NaN);
        worst = Math.max(worst, Number.isNaN(difference) ? 1 : Math.abs(difference));
      }
    });
    // Float32 sound whose mean and variance numpy sums in float32.
    assert(worst < 2e-6, `${name}: ${worst}`);
  }
});
