/** A role's state out of the GPU and back into a new one. */
import type { Model } from "../model/model.ts";
import {
  blobOf,
  coderNames,
  prefillBlob,
  type SavedState,
  type Snapshot,
  type StateRequest,
  unitBlob,
} from "./snapshot.ts";
import type { Thinker } from "./thinker.ts";
import { emptyRank } from "../checkpoint/unit.ts";
import { Plan } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import type { Tensor } from "../../kernels/gpu/tensor.ts";

/** Consecutive slots of history on their way out. */
interface Block {
  slice: Tensor;
  readback: Readback<readonly [Tensor]>;
}

/** Reads a thinker's state; what it allocates on the GPU is made at the first use and kept. */
export class StateReader {
  private readonly thinker: Thinker;
  readonly #latents: Readback<readonly [Tensor]>;
  #block: Block | undefined;

  constructor(thinker: Thinker) {
    this.thinker = thinker;
    this.#latents = new Readback(thinker.model.gpu, [thinker.latents]);
  }

  /** The state after unit `last`. */
  async read(last: number, { since }: StateRequest): Promise<SavedState> {
    const { gpu, window, layout } = this.thinker.model;
    const blobs: SavedState["blobs"] = new Map();
    if (since === null && window.prefillTokens > 0) {
      const block = this.#makeBlock(window.prefillTokens);
      blobs.set(prefillBlob, await this.#slots(0, block));
      block.readback.destroy();
      gpu.free(block.slice.buffer);
    }
    const units = window.unitsAfter(last);
    for (const unit of units) {
      if (since !== null && unit < since) continue;
      this.#block ??= this.#makeBlock(layout.tokens);
      blobs.set(unitBlob(unit), await this.#slots(window.block(unit), this.#block));
    }
    const [latents] = await this.#latents.run();
    blobs.set("latents", new Uint8Array(latents));
    for (const name of coderNames) {
      const state = await this.thinker.coders[name].exportState();
      if (state.length > 0) blobs.set(name, state);
    }
    await gpu.check();
    return { unit: last, typed: units.map((unit) => window.typedIn(unit)), blobs };
  }

  #makeBlock(tokens: number): Block {
    const { gpu, history } = this.thinker.model;
    const slice = history.makeSlice("snapshot block", tokens);
    return { slice, readback: new Readback(gpu, [slice]) };
  }

  /** K and V of the slots from `start` on; slots without a token are zero. */
  async #slots(start: number, { slice, readback }: Block): Promise<Uint8Array<ArrayBuffer>> {
    const { history, window } = this.thinker.model;
    const plan = new Plan(history.copyOut("snapshot", start, slice));
    const bytes = new Uint8Array((await readback.run(plan))[0]);
    const count = slice.shape[2] ?? 0;
    const token = history.sliceBytes(1) / (2 * (slice.shape[0] ?? 1));
    for (let at = 0; at * token < bytes.length; at++) {
      if (window.ranks[start + at % count] === emptyRank) {
        bytes.fill(0, at * token, (at + 1) * token);
      }
    }
    return bytes;
  }
}

/** Puts a snapshot's history and window into a new model, of either role. */
export function restoreHistory(model: Model, snapshot: Snapshot): void {
  const { window, history } = model;
  const { unit: last, typed } = snapshot.meta;
  window.restore(last, typed);
  const prefill = blobOf(snapshot, prefillBlob);
  if (prefill.length > 0) history.write(0, prefill);
  for (const unit of window.unitsAfter(last)) {
    history.write(window.block(unit), blobOf(snapshot, unitBlob(unit)));
  }
  history.writeWindow();
}

/** Puts a snapshot into a new thinker. */
export function restoreThinker(thinker: Thinker, snapshot: Snapshot): void {
  restoreHistory(thinker.model, snapshot);
  const bytes = blobOf(snapshot, "latents");
  thinker.setLatents(new Float32Array(bytes.slice().buffer));
  const { coders } = thinker;
  for (const name of coderNames) coders[name].importState(blobOf(snapshot, name));
}
