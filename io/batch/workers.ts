/** The workers of a batch: each has a device of its own, with one copy of a model's weights. */
import { type Checkpoint, openCheckpoint } from "../../engine/mod.ts";
import type { ModelOptions } from "../cli/model_options.ts";
import { openSharedModel, openTuning, ownModel, type SharedModel } from "../run/open_model.ts";
import { introduce } from "../run/run_model.ts";
import { inMemory } from "../saved/saving_options.ts";
import { aborted } from "../system/interrupt.ts";
import { answerItem, type ItemModel, type Outcome, type Work } from "./item.ts";
import type { Item } from "./manifest.ts";

/** Opens models; tests bring their own. */
export interface ModelOpener {
  checkpoint(path: string): Promise<Pick<Checkpoint, "config" | "digest">>;
  /** Puts it on a device. */
  open(path: string, options: ModelOptions & { quiet: boolean }): Promise<SharedModel>;
}

/** Opens checkpoints once for all workers, as long as one of them needs it. */
export function modelOpener(): ModelOpener {
  const opened = new Map<string, WeakRef<Promise<Checkpoint>>>();
  const checkpoint = (path: string) => {
    const known = opened.get(path)?.deref();
    if (known) return known;
    const opening = openCheckpoint(path);
    opened.set(path, new WeakRef(opening));
    return opening;
  };
  // One after the other, with one record: workers that measured at once would disturb each other, and
  // choose kernels that round differently.
  const tunings = new Map<string, ReturnType<typeof openTuning>>();
  let before: Promise<unknown> = Promise.resolve();
  const open: ModelOpener["open"] = async (path, options) => {
    const key = JSON.stringify([options["no-tune"], options["tune-cache"]]);
    const tuning = tunings.get(key) ?? openTuning(options);
    tunings.set(key, tuning);
    return await openSharedModel(await checkpoint(path), options, inMemory, await tuning);
  };
  return {
    checkpoint,
    open(path, options) {
      const opening = before.then(() => open(path, options));
      before = opening.catch(() => {});
      return opening;
    },
  };
}

/** What of the options chooses a model on a device. */
const modelKey = ({ model, placement, thinker, performer, precision, ...rest }: Item["options"]) =>
  JSON.stringify([
    model,
    placement,
    thinker,
    performer,
    precision,
    rest["no-tune"],
    rest["tune-cache"],
  ]);

/** Items that wait, those of one model together. */
class Waiting {
  readonly #groups = new Map<string, { items: Item[]; next: number }>();

  constructor(items: readonly Item[]) {
    for (const item of items) {
      const key = modelKey(item.options);
      const group = this.#groups.get(key);
      if (group) group.items.push(item);
      else this.#groups.set(key, { items: [item], next: 0 });
    }
  }

  /** The next item of a model, or where it has none, of another. */
  take(key: string | null): { key: string; item: Item } | null {
    const [first] = this.#groups.keys();
    const found = key !== null && this.#groups.has(key) ? key : first;
    const group = found === undefined ? undefined : this.#groups.get(found);
    const item = group?.items[group.next++];
    if (found === undefined || !group || !item) return null;
    if (group.next === group.items.length) this.#groups.delete(found);
    return { key: found, item };
  }
}

/** A worker's device: it holds one model at a time. */
class Device {
  readonly #opener: ModelOpener;
  readonly #quiet: boolean;
  readonly #introduced: Set<string>;
  #key: string | null = null;
  #opening: Promise<SharedModel> | null = null;
  #checkpoint: ReturnType<ModelOpener["checkpoint"]> | null = null;

  constructor(opener: ModelOpener, quiet: boolean, introduced: Set<string>) {
    this.#opener = opener;
    this.#quiet = quiet;
    this.#introduced = introduced;
  }

  get key() {
    return this.#key;
  }

  /** The model of an item; another one that is open is closed before. */
  async model(key: string, { options }: Item): Promise<ItemModel> {
    if (this.#key !== key) await this.close();
    this.#key = key;
    const path = options.model ?? await ownModel();
    const quiet = this.#quiet;
    return {
      path,
      checkpoint: () => this.#checkpoint ??= this.#failsOnce(this.#opener.checkpoint(path)),
      open: async (given, references, request) => {
        const opening = this.#opening ??= this.#opener.open(path, { ...options, quiet });
        const model = await opening.catch((error) => {
          if (this.#opening === opening) this.#opening = null;
          throw error;
        });
        const session = await model.open(given, references);
        if (!quiet && !this.#introduced.has(key)) introduce(request, session);
        this.#introduced.add(key);
        return session;
      },
    };
  }

  /** What failed is tried again by the next item. */
  #failsOnce<T>(opening: Promise<T>): Promise<T> {
    opening.catch(() => this.#checkpoint = null);
    return opening;
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    this.#key = this.#opening = this.#checkpoint = null;
    await opening?.then((model) => model.close(), () => {});
  }
}

/** A run over items. */
export interface Run extends Work {
  items: readonly Item[];
  workers: number;
  opener: ModelOpener;
  quiet: boolean;
  /** Devices stay open: the process is about to end by `Deno.exit()`. */
  untilExit: boolean;
  /** Called with each item that is settled. */
  settled(item: Item, outcome: Outcome & { state: "settled" }): void;
  /** Called when items are left that other processes work on. */
  waiting(items: readonly Item[]): void;
}

/** Milliseconds until what other processes work on is looked at again. */
const pause = 500;

/** Settles every item, or as many as it can before the signal. */
export async function settleAll(run: Run): Promise<void> {
  const introduced = new Set<string>();
  const count = Math.min(run.workers, run.items.length);
  const devices = Array.from(
    { length: count },
    () => new Device(run.opener, run.quiet, introduced),
  );
  try {
    for (let items = run.items; items.length > 0 && !run.signal.aborted;) {
      const waiting = new Waiting(items);
      const lists = await Promise.all(devices.map((device) => work(run, device, waiting)));
      items = lists.flat();
      if (items.length === 0) return;
      run.waiting(items);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const rest = new Promise((resolve) => timer = setTimeout(resolve, pause));
      await Promise.race([rest, aborted(run.signal)]);
      clearTimeout(timer);
    }
  } finally {
    if (!run.untilExit) await Promise.all(devices.map((device) => device.close()));
  }
}

/** Items that are under way at once: one is answered, one before it finishes, one after it begins. */
const mostUnderWay = 3;

/** One worker. @returns Items that other processes work on. */
async function work(run: Run, device: Device, waiting: Waiting): Promise<Item[]> {
  const { signal } = run;
  const busy: Item[] = [];
  const underWay = new Set<Promise<void>>();
  let turn: Promise<void> = Promise.resolve();
  try {
    while (!signal.aborted) {
      const next = waiting.take(device.key);
      if (next === null) break;
      const { key, item } = next;
      if (key !== device.key) await Promise.all(underWay);
      const model = await device.model(key, item);
      const before = turn;
      const began = Promise.withResolvers<void>();
      const passed = Promise.withResolvers<void>();
      turn = passed.promise;
      const pass = () => passed.resolve(before);
      const task = answerItem(item, run, model, { before, began: began.resolve, pass })
        .then((outcome) => {
          if (outcome.state === "busy") busy.push(item);
          if (outcome.state === "settled") run.settled(item, outcome);
        })
        .finally(pass);
      underWay.add(task);
      task.finally(() => underWay.delete(task)).catch(() => {});
      await Promise.race([began.promise, task]);
      while (underWay.size >= mostUnderWay) await Promise.race(underWay);
    }
  } finally {
    await Promise.allSettled(underWay);
  }
  return busy;
}
