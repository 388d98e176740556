/**
 * Forks a conversation at a unit into three futures, and shows where each parts from the first.
 *
 *     deno run --allow-all fork.ts CHECKPOINT RECORDING UNIT
 */
import { type Observation, openCheckpoint, openModel } from "@wanstream/wanstream";
import { observations } from "@wanstream/wanstream/media";

const [folder = "", recording = "", at = "10"] = Deno.args;
const checkpoint = await openCheckpoint(folder);
const talk = await Array.fromAsync(observations(recording, { model: checkpoint }));
const [past, future] = [talk.slice(0, Number(at)), talk.slice(Number(at))];
await using model = await openModel(checkpoint);
await using session = await model.openSession({ seed: 1 });
for (const observation of past) await session.step(observation);
const snapshot = await session.snapshot();

const absent: Observation = { audio: null, frames: null };
const futures = {
  "as it was": { seed: 1, rest: future },
  "another seed": { seed: 2, rest: future },
  "the user goes away after two units": {
    seed: 1,
    rest: [...future.slice(0, 2), ...future.slice(2).map(() => absent)],
  },
};
let first: string[] | undefined;
for (const [name, { seed, rest }] of Object.entries(futures)) {
  await using fork = await model.openSession({ seed }, { resume: snapshot });
  const answers = await Array.fromAsync(fork.respond(rest));
  const digests = answers.map(({ digest }) => digest);
  first ??= digests;
  const parts = digests.findIndex((digest, i) => digest !== first?.[i]);
  const where = parts < 0 ? "parts nowhere" : `parts at unit ${Number(at) + parts}`;
  console.log(`${name}: ${where}; says "${answers.map(({ text }) => text).join("")}"`);
}
