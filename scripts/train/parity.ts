/**
 * Compares the engine with PyTorch on a checkpoint: tokens, samples and pixels of a conversation that
 * `train/parity.py` has run.
 *
 *     deno run -A scripts/train/parity.ts CHECKPOINT FOLDER
 */
import { openCheckpoint, openSession } from "../../engine/mod.ts";

const [model = "", folder = ""] = Deno.args;
const floats = async (name: string) =>
  new Float32Array((await Deno.readFile(`${folder}/${name}`)).buffer);
const { units, typed, tokens } = JSON.parse(await Deno.readTextFile(`${folder}/units.json`)) as {
  units: number;
  typed: (string | null)[];
  tokens: number[];
};
const user = { audio: await floats("user.f32"), frames: await Deno.readFile(`${folder}/user.rgb`) };
const agent = {
  audio: await floats("agent.f32"),
  frames: await Deno.readFile(`${folder}/agent.rgb`),
};
const part = <T extends Float32Array | Uint8Array>(all: T, unit: number) =>
  all.slice((unit * all.length) / units, ((unit + 1) * all.length) / units) as T;

const session = await openSession(await openCheckpoint(model), { seed: 0, precision: "f32" });
const observations = typed.map((text, unit) => ({
  audio: part(user.audio, unit),
  frames: part(user.frames, unit),
  ...(text ? { text } : {}),
}));
let [sameTokens, square, error, worstPixel, totalMs] = [0, 0, 0, 0, 0];
for await (const response of session.respond(observations)) {
  const { unit } = response;
  if (response.tokens[0] === tokens[unit]) sameTokens++;
  part(agent.audio, unit).forEach((value, i) => {
    square += value ** 2;
    error += (value - (response.audio[i] ?? NaN)) ** 2;
  });
  part(agent.frames, unit).forEach((value, i) => {
    worstPixel = Math.max(worstPixel, Math.abs(value - (response.frames[i] ?? NaN)));
  });
  totalMs += response.stages.total;
}
await session.close();
const line = {
  units,
  sameTokens,
  audioRelativeError: Math.sqrt(error / square),
  worstPixel,
  meanUnitMs: totalMs / units,
};
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
