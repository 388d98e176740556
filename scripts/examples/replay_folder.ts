/**
 * Answers every recording of a folder: a recording and events for each, and a CSV of what was said.
 *
 *     deno run --allow-all replay_folder.ts CHECKPOINT RECORDINGS ANSWERS
 */
import { openCheckpoint, openModel } from "@wanstream/wanstream";
import { observations, recorder } from "@wanstream/wanstream/media";

const [folder = "", recordings = "", answers = ""] = Deno.args;
const checkpoint = await openCheckpoint(folder);
await using model = await openModel(checkpoint);
const rows = ["recording,unit,seconds,text,digest"];
for (const { name } of [...Deno.readDirSync(recordings)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  await using session = await model.openSession({ seed: 7, schedule: "eager" });
  const { layout, info } = session;
  const talk = observations(`${recordings}/${name}`, { layout });
  await using answer = await recorder(`${answers}/${name}.mkv`, {
    ...{ layout, info, events: `${answers}/${name}.jsonl` },
  });
  for await (const response of session.respond(talk)) {
    await answer.write(response);
    const { unit, text, digest } = response;
    const seconds = (unit * layout.agent.unitMs) / 1000;
    rows.push(`${name},${unit},${seconds},${JSON.stringify(text)},${digest}`);
  }
  console.log(
    `${name}: ${answer.units} units, "${answer.spoken.map(({ text }) => text).join("")}"`,
  );
}
await Deno.writeTextFile(`${answers}/answers.csv`, `${rows.join("\n")}\n`);
