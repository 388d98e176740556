/** Writes a batch's answers into the folder of the benchmark that its recordings come from. */
import { InputError } from "../../engine/config/errors.ts";
import { defaultTracks } from "../media/tracks.ts";
import { openInput, readSound } from "../ends/observe.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { findConversations } from "../layouts/conversations.ts";
import { fullDuplexBench, outputRate } from "../layouts/full_duplex_bench.ts";
import type { Layout, LayoutItem } from "../layouts/layout.ts";
import type { StreamShape } from "../media/stream_shape.ts";
import { RunError } from "../system/errors.ts";
import type { BatchFolder } from "./folder.ts";

/** Layouts by name. */
export const layouts: Record<string, Layout> = { [fullDuplexBench.name]: fullDuplexBench };

/** Sound alone is read. */
const shape: StreamShape = {
  ...{ unitMs: 160, fps: 25, frames: 4, width: 16, height: 16 },
  ...{ sampleRate: outputRate, samples: outputRate * 0.16 },
};

/** Writes the answer of each item that has one. @returns How many. */
export async function writeAnswers(
  layout: Layout,
  items: readonly LayoutItem[],
  folder: BatchFolder,
  ffmpeg: FfmpegFinder,
): Promise<number> {
  let written = 0;
  for (const item of items) {
    if ((await folder.result(item.id))?.state !== "done") continue;
    const { conversations: [answer] } = await findConversations(folder.of(item.id), ffmpeg);
    if (!answer) throw new RunError(`${folder.of(item.id)}: its answer can't be found`);
    const { observations, facts } = await openInput(item.input, shape, ffmpeg, {
      ...defaultTracks,
      video: "none",
    });
    await observations.close();
    const seconds = facts.seconds ?? 0;
    const samples = await readSound(answer.agent.path, shape, seconds, ffmpeg);
    const { words, delay } = answer;
    const said = { samples, sampleRate: outputRate, words: words ?? [], seconds, delay };
    await layout.write(item, said).catch((error) => {
      // The answer is safe in the batch's folder: a rerun writes it once this one can be written.
      throw error instanceof InputError ? new RunError(error.message) : error;
    });
    written++;
  }
  return written;
}
