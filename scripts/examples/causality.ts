/**
 * Changes one sample of a recording and proves that nothing before it changes in the answer.
 *
 *     deno run --allow-all causality.ts CHECKPOINT RECORDING UNIT
 */
import { openCheckpoint, openModel, type Response } from "@wanstream/wanstream";
import { observations } from "@wanstream/wanstream/media";

const [folder = "", recording = "", at = "5"] = Deno.args;
const checkpoint = await openCheckpoint(folder);
const talk = await Array.fromAsync(observations(recording, { model: checkpoint }));
const changed = talk.map(({ audio, frames }, unit) => {
  const samples = audio?.slice() ?? null;
  if (samples && unit === Number(at)) samples[0] = (samples[0] ?? 0) > 0 ? -1 : 1;
  return { audio: samples, frames };
});
await using model = await openModel(checkpoint);
async function answer(units: typeof talk): Promise<Response[]> {
  await using session = await model.openSession({ seed: 1 });
  return await Array.fromAsync(session.respond(units));
}
const [before, after] = [await answer(talk), await answer(changed)];
const same = (a: Response, b?: Response) =>
  a.digest === b?.digest && a.text === b.text && a.frames.every((x, i) => x === b.frames[i]) &&
  a.audio.every((x, i) => x === b.audio[i]);
const first = before.findIndex((response, unit) => !same(response, after[unit]));
console.log(`unit ${at} was changed; the answers differ from unit ${first} on`);
if (first !== -1 && first < Number(at)) throw new Error("the past has changed");
