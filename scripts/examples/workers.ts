/**
 * Sessions in Workers of one's own, at the same time, on two drivers where there are two.
 *
 *     deno run --allow-all workers.ts CHECKPOINT RECORDING
 */
/// <reference lib="deno.worker" />
import { listAdapters, openCheckpoint, openSession } from "@wanstream/wanstream";
import { observations } from "@wanstream/wanstream/media";

const [folder = "", recording = ""] = Deno.args;

async function answer(seed: number, thinker: string): Promise<string> {
  const options = { seed, thinker, placement: "fused", precision: "f32" } as const;
  await using session = await openSession(await openCheckpoint(folder), options);
  const talk = observations(recording, { layout: session.layout });
  const answers = await Array.fromAsync(session.respond(talk));
  return `seed ${seed} on ${session.info.thinker.adapter}: ${answers.at(-1)?.digest}`;
}

// Each Worker runs this file too.
if (self.name === "answers") {
  self.onmessage = async ({ data }) => self.postMessage(await answer(data.seed, data.thinker));
} else {
  const adapters = await listAdapters();
  const answers = [1, 2].map((seed) => {
    const worker = new Worker(import.meta.url, { type: "module", name: "answers" });
    worker.postMessage({ seed, thinker: adapters[seed % adapters.length]?.spec ?? "default" });
    return new Promise<string>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
    }).finally(() => worker.terminate());
  });
  console.log((await Promise.all(answers)).join("\n"));
}
