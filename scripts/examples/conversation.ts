/**
 * Two agents talk with each other, with picture and sound: each answer is what the other hears and
 * sees next. Writes a.mkv, b.mkv and both.mkv, side by side.
 *
 *     deno run --allow-all conversation.ts CHECKPOINT_A CHECKPOINT_B FOLDER [UNITS]
 */
import { type Observation, openCheckpoint, openSession } from "@wanstream/wanstream";
import { fit, recorder, sideBySide } from "@wanstream/wanstream/media";

const [one = "", other = "", folder = "", units = "50"] = Deno.args;
await using a = await openSession(await openCheckpoint(one), { seed: 1 });
await using b = await openSession(await openCheckpoint(other), { seed: 2 });
const [toB, toA] = [fit(a.layout, b.layout), fit(b.layout, a.layout)];
await using recordA = await recorder(`${folder}/a.mkv`, { layout: a.layout, info: a.info });
await using recordB = await recorder(`${folder}/b.mkv`, { layout: b.layout, info: b.info });

let heard: Observation = { audio: null, frames: null };
for (let unit = 0; unit < Number(units); unit++) {
  const said = await a.step(heard);
  // What a says in text is typed to b, once.
  const answered = await b.step({ ...toB(said), ...(said.text && { text: said.text }) });
  heard = toA(answered);
  await recordA.write(said);
  await recordB.write(answered);
}
await recordA.close();
await recordB.close();
await sideBySide(`${folder}/both.mkv`, `${folder}/a.mkv`, recordB);
console.log(`${recordA.units} units; b says "${recordB.spoken.map(({ text }) => text).join("")}"`);
