/**
 * Saves made-up sessions, one after the other, until it is killed.
 *
 *     deno run tests/io/session_saver.ts FOLDER
 */
import { type Snapshot, unitBlob } from "../../engine/roles/snapshot.ts";
import { SessionFolder } from "../../io/system/session_folder.ts";
import { integer, random } from "../reference/random.ts";

/** A snapshot after a unit, as a folder sees it: the blocks of its units never change. */
export function snapshotAfter(unit: number, kept = 5): Snapshot {
  const blobs: Snapshot["blobs"] = new Map();
  const put = (name: string, length: number, seed: number) => {
    const next = random(seed);
    blobs.set(name, Uint8Array.from({ length }, () => integer(next, 0, 255)));
  };
  for (let k = Math.max(0, unit - kept + 1); k <= unit; k++) put(unitBlob(k), 1000, k);
  put("latents", 100, 1e6 + unit);
  return { meta: { format: 1, unit } as unknown as Snapshot["meta"], blobs };
}

if (import.meta.main) {
  const folder = new SessionFolder(Deno.args[0] ?? "");
  for (let unit = 0;; unit++) {
    await folder.save(snapshotAfter(unit, 40), { unit });
    await Deno.stdout.write(new Uint8Array(1));
  }
}
