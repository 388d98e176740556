/**
 * Answers one recording with every combination of seeds, steps and guidance; a CSV on standard output.
 *
 *     deno run --allow-all sweep.ts CHECKPOINT RECORDING [UNITS]
 */
import { openCheckpoint, openModel } from "@wanstream/wanstream";
import { observations } from "@wanstream/wanstream/media";

const [folder = "", recording = "", units = "50"] = Deno.args;
const checkpoint = await openCheckpoint(folder);
const talk = await Array.fromAsync(observations(recording, { model: checkpoint }));
await using model = await openModel(checkpoint);
console.log("seed,steps,guidance,solve_ms,rms,text,digest");
for (const seed of [1, 2]) {
  for (const steps of [2, 4]) {
    for (const guidance of [1, 2]) {
      await using session = await model.openSession({ seed, solver: { steps, guidance } });
      const answers = await Array.fromAsync(session.respond(talk.slice(0, Number(units))));
      const solve = answers.reduce((ms, { stages }) => ms + stages.solve, 0) / answers.length;
      const power = answers.map(({ audio }) =>
        audio.reduce((sum, x) => sum + x * x / audio.length, 0)
      );
      const rms = Math.sqrt(power.reduce((sum, x) => sum + x / power.length, 0));
      const text = JSON.stringify(answers.map(({ text }) => text).join(""));
      const last = answers.at(-1)?.digest;
      console.log([seed, steps, guidance, solve.toFixed(1), rms.toFixed(4), text, last].join());
    }
  }
}
