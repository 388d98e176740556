/** Runs a batch, or a shard of it, from its items to its exit code. */
import { BatchProgress, type Counts } from "./progress.ts";
import type { BatchFolder, Form } from "./folder.ts";
import type { Item } from "./manifest.ts";
import { has, type Shard } from "./shards.ts";
import { exitCodeOf } from "./status.ts";
import { interruptedCode } from "../system/interrupt.ts";
import { say } from "../system/terminal.ts";
import { type Run, settleAll } from "./workers.ts";

export interface Batch
  extends
    Pick<Run, "ffmpeg" | "signal" | "program" | "workers" | "opener" | "quiet" | "untilExit"> {
  folder: BatchFolder;
  form: Form;
  /** All items, of which the shard takes its own. */
  items: Item[];
  shard: Shard;
}

/** How a batch, or a shard of it, went. */
export interface BatchResult extends Counts {
  exitCode: number;
  /** Wall seconds. */
  wallSeconds: number;
  badInput: { id: string; message: string }[];
  /** A rerun may mend these. */
  again: { id: string; message: string }[];
}

/** Settles the shard's items. @throws InputError when the folder can't be written. */
export async function runBatch(batch: Batch): Promise<BatchResult> {
  const { folder, form, shard, signal, quiet } = batch;
  await folder.note({ ...form, shards: shard.of, items: batch.items });
  const items = batch.items.filter((_, place) => has(shard, place));
  const counts = { items: items.length, earlier: 0, done: 0, failed: 0, seconds: 0 };
  const badInput: BatchResult["badInput"] = [];
  const again: BatchResult["again"] = [];
  using progress = new BatchProgress(counts, quiet);
  let isWaiting = false;
  await settleAll({
    ...{ ...batch, items },
    progress(seconds) {
      counts.seconds += seconds;
      progress.update();
    },
    settled({ id }, { result, isNew }) {
      if (result.state === "done") counts[isNew ? "done" : "earlier"]++;
      else {
        counts.failed++;
        const { kind, message } = result;
        (kind === "input" ? badInput : again).push({ id, message });
        if (!quiet) progress.say(`${id}: ${kind === "input" ? "bad input: " : ""}${message}`);
      }
      progress.update();
    },
    waiting(left) {
      if (!isWaiting && !quiet) {
        progress.say(`${left.length} items are being answered by another process: waiting`);
      }
      isWaiting = true;
    },
  });
  progress.clear();
  const exitCode = signal.aborted ? interruptedCode : exitCodeOf(again.length, badInput.length);
  const result = { ...counts, exitCode, wallSeconds: progress.elapsed, badInput, again };
  if (!quiet) say(batchText(result, signal.aborted));
  return result;
}

function batchText(
  { items, earlier, done, failed, seconds, ...rest }: BatchResult,
  isCut: boolean,
) {
  const { badInput, again, wallSeconds } = rest;
  const settled = earlier + done;
  return [
    `${settled} of ${items} items are done${earlier > 0 ? `, ${earlier} of them were before` : ""}`,
    ...(isCut ? [`interrupted: ${items - settled - failed} are left`] : []),
    ...(badInput.length > 0 ? [`${badInput.length} bad input`] : []),
    ...(again.length > 0 ? [`${again.length} failed: a rerun may mend them`] : []),
    `${seconds.toFixed(2)} s of stream in ${wallSeconds.toFixed(2)} s`,
  ].join("; ");
}
