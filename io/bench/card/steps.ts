/**
 * Steps of a measurement that has little time: each in a process of its own, with a bound. A step gives
 * its results item by item, which are kept as they come; when a process hangs or dies, the item that was
 * under way is named, and what was known before it stays known. What is done isn't done again.
 */

/** What a step's process says: what it begins, then what came of it. */
export type Message = { begin: string } | { item: string; value: Record<string, unknown> };

/** A result, under its name in its step. */
export type Item = { name: string } & Record<string, unknown>;

export interface StepRecord {
  step: string;
  /** `stopped`: over its bound, or its process ended; what it had is kept. */
  state: "running" | "done" | "stopped" | "not started";
  /** Why it is stopped or wasn't started. */
  reason: string | null;
  /** The item that was begun last and has no result. */
  underWay: string | null;
  boundSeconds: number;
  seconds: number;
  items: Item[];
}

export interface Step {
  name: string;
  /** Seconds after which it is stopped; it gets less where less is left of the budget. */
  boundSeconds: number;
  /** Seconds that it needs at least: with less left it isn't started. */
  needsSeconds: number;
  /** Seconds of an item: one that takes longer is stopped and recorded as failed, and the step goes on
   * without it. Null: items have no bound of their own, and the step begins anew when it is resumed. */
  itemSeconds: number | null;
}

/** A process that does a step. */
export interface StepProcess {
  messages: AsyncIterable<Message>;
  /** Why it failed; null: it ended well. */
  ended: Promise<string | null>;
  kill(): void;
}

export interface Clock {
  /** Seconds. */
  now(): number;
  /** Calls back after so many seconds. @returns What takes that back. */
  after(seconds: number, call: () => void): () => void;
}

export const wallClock: Clock = {
  now: () => performance.now() / 1000,
  after(seconds, call) {
    const timer = setTimeout(call, 1000 * seconds);
    return () => clearTimeout(timer);
  },
};

export interface StepRun {
  budgetSeconds: number;
  clock: Clock;
  /** Starts a step's process; `record` has what earlier ones gave, and its bound. */
  start(record: Readonly<StepRecord>): StepProcess;
  /** Keeps all records; called whenever one has changed. */
  keep(records: readonly StepRecord[]): Promise<void>;
  /** Called when a step has ended, or wasn't started. */
  show(record: StepRecord): Promise<void>;
}

/**
 * Runs steps in turn until all are done or the budget is.
 *
 * @param plan All steps by what is known so far, in their order; asked anew before each.
 * @param before Records of an earlier run: steps that are done there aren't run again.
 */
export async function runSteps(
  plan: (records: readonly StepRecord[], leftSeconds: number) => Step[] | Promise<Step[]>,
  before: readonly StepRecord[],
  run: StepRun,
): Promise<StepRecord[]> {
  const { clock, budgetSeconds } = run;
  const begin = clock.now();
  const left = () => budgetSeconds - (clock.now() - begin);
  const records = before.map((record) => ({ ...record }));
  const met = new Set<string>();
  while (true) {
    const steps = await plan(records, left());
    const step = steps.find(({ name }) => !met.has(name));
    if (!step) return records;
    met.add(step.name);
    let record = records.find((one) => one.step === step.name);
    if (record?.state === "done") continue;
    if (!record) {
      record = { ...unstarted, step: step.name, items: [] };
      records.push(record);
    }
    const enough = left() >= step.needsSeconds;
    if (enough) await runStep(step, record, left(), run, () => run.keep(records));
    else if (record.items.length === 0) {
      record.state = "not started";
      record.reason = `it needs about ${Math.ceil(step.needsSeconds)} s, and ${
        Math.max(0, Math.floor(left()))
      } s are left`;
    }
    await run.keep(records);
    await run.show(record);
  }
}

const unstarted = {
  state: "not started",
  reason: null,
  underWay: null,
  boundSeconds: 0,
  seconds: 0,
} as const;

async function runStep(
  step: Step,
  record: StepRecord,
  leftSeconds: number,
  { clock, start }: StepRun,
  keep: () => Promise<void>,
): Promise<void> {
  const begin = clock.now();
  const earlier = record.seconds;
  if (step.itemSeconds === null) record.items = [];
  record.boundSeconds = Math.min(step.boundSeconds, leftSeconds);
  record.state = "running";
  record.reason = null;
  let isOver = false;
  while (record.state === "running") {
    record.underWay = null;
    await keep();
    const process = start(record);
    let late = false;
    let disarm = () => {};
    const stop = clock.after(record.boundSeconds - (clock.now() - begin), () => {
      isOver = true;
      process.kill();
    });
    for await (const message of process.messages) {
      disarm();
      if ("item" in message) {
        record.items.push({ name: message.item, ...message.value });
        record.underWay = null;
      } else {
        record.underWay = message.begin;
        if (step.itemSeconds !== null) {
          disarm = clock.after(step.itemSeconds, () => {
            late = true;
            process.kill();
          });
        }
      }
      record.seconds = earlier + clock.now() - begin;
      await keep();
    }
    disarm();
    stop();
    const failure = await process.ended;
    record.seconds = earlier + clock.now() - begin;
    if (isOver) {
      record.state = "stopped";
      record.reason = `over its bound of ${Math.round(record.boundSeconds)} s`;
    } else if (failure === null) {
      record.state = "done";
    } else if (record.underWay !== null && step.itemSeconds !== null) {
      // The item is to blame: the rest goes on without it.
      const reason = late ? `it took longer than ${step.itemSeconds} s` : failure;
      record.items.push({ name: record.underWay, failed: reason });
    } else {
      record.state = "stopped";
      record.reason = failure;
    }
  }
}
