/**
 * Compares the engine with PyTorch on a checkpoint, in f32: logits, latents (velocities, where the
 * solver took one step), tokens, samples and pixels of a conversation that `train/parity.py` has run.
 * Errors are of a tick: the length of the difference over that of PyTorch's, the worst one printed.
 *
 *     deno run --allow-read --allow-env scripts/train/parity.ts CHECKPOINT FOLDER [CHECKPOINT FOLDER ...]
 *
 * Prints a line of JSON for each pair.
 */
import { openCheckpoint } from "../../engine/checkpoint/checkpoint.ts";
import { Model } from "../../engine/model/model.ts";
import { Performer } from "../../engine/roles/performer.ts";
import { computePrefill } from "../../engine/roles/prefill.ts";
import { Queue } from "../../engine/roles/queue.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { Thinker } from "../../engine/roles/thinker.ts";
import { clock } from "../../engine/roles/messages.ts";
import { type Input, localPerformer, runTicks } from "../../engine/roles/ticks.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { readTensor } from "../../kernels/gpu/readback.ts";

const part = <T extends Float32Array | Uint8Array>(all: T, unit: number, units: number) =>
  all.slice((unit * all.length) / units, ((unit + 1) * all.length) / units) as T;
const length = (values: Float32Array) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
const difference = (a: ArrayLike<number>, b: Float32Array) => b.map((v, i) => (a[i] ?? NaN) - v);

interface Record {
  units: number;
  steps: number;
  /** Ids that are typed in each unit, and ids that PyTorch chose. */
  typed: number[][];
  tokens: number[][];
  /** System prompt; "": none. */
  prompt: string;
}

async function compare(gpu: Gpu, folder: string, out: string) {
  const floats = async (name: string) =>
    new Float32Array((await Deno.readFile(`${out}/${name}`)).buffer);
  const { units, steps, typed, tokens, prompt }: Record = JSON.parse(
    await Deno.readTextFile(`${out}/units.json`),
  );
  const user = { audio: await floats("user.f32"), frames: await Deno.readFile(`${out}/user.rgb`) };
  const agent = {
    audio: await floats("agent.f32"),
    frames: await Deno.readFile(`${out}/agent.rgb`),
  };
  const theirs = {
    logits: await floats("logits.f32"),
    noise: await floats("noise.f32"),
    latents: await floats("latents.f32"),
  };
  const checkpoint = await openCheckpoint(folder);
  const [voice, frame] = [await floats("voice.f32"), await Deno.readFile(`${out}/picture.rgb`)];
  const settings = resolveSettings(checkpoint, {
    ...{ precision: "f32", solver: { steps } },
    ...(prompt ? { prompt } : {}),
    ...(voice.length > 0 ? { voice } : {}),
    ...(frame.length > 0 ? { persona: { frame } } : {}),
  });
  const model = new Model(gpu, checkpoint, settings);
  const thinker = await Thinker.create(model, false);
  await computePrefill(model, false, (first) => thinker.begin(first));
  const performer = await Performer.create(model, false);
  const local = localPerformer(performer);

  const worst = { logits: 0, latents: 0, velocities: 0, samples: 0 };
  const inputs = new Queue<Input>();
  let [solved, sameTokens, worstPixel] = [0, 0, 0];
  const note = (what: keyof typeof worst, error: Float32Array, reference: Float32Array) => {
    // A silent unit's samples have next to no length of their own.
    const scale = Math.max(
      length(reference),
      what === "samples" ? 0.01 * Math.sqrt(reference.length) : 0,
    );
    worst[what] = Math.max(worst[what], length(error) / scale);
  };
  const link = {
    ...local,
    async finish() {
      const done = await local.finish();
      const [logits, latents] = [
        part(theirs.logits, solved, units),
        part(theirs.latents, solved, units),
      ];
      const ours = await readTensor(gpu, performer.latents);
      const error = difference(ours, latents);
      note("logits", difference(await readTensor(gpu, thinker.logits), logits), logits);
      note("latents", error, latents);
      if (steps === 1) {
        note("velocities", error, difference(part(theirs.noise, solved, units), latents));
      }
      solved++;
      return done;
    },
  };
  const give = (unit: number) => {
    if (unit === units) return inputs.put(null);
    inputs.put({
      audio: part(user.audio, unit, units),
      frames: part(user.frames, unit, units),
      typed: typed[unit] ?? [],
      arrived: clock(),
    });
  };
  give(0);
  await runTicks(thinker, link, inputs, {
    schedule: "eager",
    emit(response) {
      const { unit } = response;
      if (`${response.tokens}` === `${tokens[unit]}`) sameTokens++;
      const sound = part(agent.audio, unit, units);
      note("samples", difference(response.audio, sound), sound);
      part(agent.frames, unit, units).forEach((value, i) => {
        worstPixel = Math.max(worstPixel, Math.abs(value - (response.frames[i] ?? NaN)));
      });
      give(unit + 1);
    },
  });
  const { velocities, ...relativeErrors } = worst;
  return {
    units,
    steps,
    sameTokens,
    relativeErrors: steps === 1 ? { ...relativeErrors, velocities } : relativeErrors,
    worstPixel,
  };
}

const pairs = Deno.args;
const gpu = await Gpu.open("default");
for (let i = 0; i < pairs.length; i += 2) {
  const line = await compare(gpu, pairs[i] ?? "", pairs[i + 1] ?? "");
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
}
gpu.destroy();
