/**
 * Writes the latents of an answer, [units, tokens, channels] of each medium, as safetensors.
 *
 *     deno run --allow-all latents.ts CHECKPOINT RECORDING latents.safetensors
 */
import { openCheckpoint, openSession } from "@wanstream/wanstream";
import { observations } from "@wanstream/wanstream/media";

const [folder = "", recording = "", output = ""] = Deno.args;
const checkpoint = await openCheckpoint(folder);
await using session = await openSession(checkpoint, { seed: 1 }, { details: true });
const { layout } = session;
const audio: Float32Array[] = [];
const video: Float32Array[] = [];
for await (const { details } of session.respond(observations(recording, { layout }))) {
  if (!details) continue;
  audio.push(details.latents.audio);
  video.push(details.latents.video);
}
const tensors = {
  audio: { units: audio, tokens: layout.agentAudio },
  video: { units: video, tokens: layout.agentVideo },
};
let end = 0;
const header = Object.fromEntries(
  Object.entries(tensors).map(([name, { units, tokens }]) => {
    const [begin, size] = [end, units[0]?.length ?? 0];
    const shape = [units.length, tokens, size / tokens];
    end += units.length * size * 4;
    return [name, { dtype: "F32", shape, data_offsets: [begin, end] }];
  }),
);
const json = new TextEncoder().encode(JSON.stringify(header));
const length = new BigUint64Array([BigInt(json.length)]);
const content = new Blob([length, json, ...audio, ...video] as BlobPart[]);
await Deno.writeFile(output, content.stream());
console.log(JSON.stringify(header));
