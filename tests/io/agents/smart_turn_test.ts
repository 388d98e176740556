/** Smart Turn: its features against the reference, and the network where it is installed. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { melFrames, smartTurnFile, whisperFeatures } from "../../../io/agents/smart_turn.ts";
import { Silero } from "../../../io/score/silero.ts";
import { golden, readGoldens } from "../../reference/golden_file.ts";

const judges = new URL("../../../scripts/judges", import.meta.url).pathname;
const file = await smartTurnFile(judges).catch((error: Error) => error);
const why = file instanceof Error
  ? file.message
  : await Silero.open().then((silero) => silero[Symbol.asyncDispose]()).then(
    () => null,
    (error: Error) => error.message,
  );

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

Deno.test({
  name: `Smart Turn's network takes them, beside Silero's streams${
    why === null ? "" : ` (skipped: ${why})`
  }`,
  ignore: why !== null,
  fn: async () => {
    await using silero = await Silero.open(`${file}`);
    const stream = silero.stream();
    // Noise that stops at once; a few windows are scored meanwhile.
    const made = sound(4);
    const [one, scores, again] = await Promise.all([
      silero.judge(whisperFeatures(made)),
      stream.push(made.subarray(0, 2560)),
      silero.judge(whisperFeatures(made)),
    ]);
    assertEquals([scores.length, one], [5, again]);
    assert(one > 0 && one < 1, `${one}`);
    const other = await silero.judge(
      whisperFeatures(made.map((value, i) => i < 30000 ? value : 0)),
    );
    assert(other !== one);
    await stream.close();
  },
});

Deno.test("where Smart Turn isn't installed one line says how it is", async () => {
  const folder = await Deno.makeTempDir();
  const { message } = await assertRejects(() => smartTurnFile(folder), InputError);
  await Deno.remove(folder);
  assert(message.includes("deno task setup --judges") && !message.includes("\n"), message);
});
