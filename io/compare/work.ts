/** The work of an agent: processor time and memory as they are measured, tokens and operations as they
 * follow from the plans on paper. */
import { cpuUsage } from "node:process";

/** Ticks of the clock in /proc, which Linux has fixed for programs. */
const ticksPerSecond = 100;

/** Processor seconds of a process and of its children that have ended; null: it can't be told. */
export function processorSeconds(pid: number): number | null {
  const text = readProc(`${pid}/stat`);
  // The name in brackets may hold anything.
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ").map(Number);
  const ticks = fields?.slice(11, 15).reduce((sum, value) => sum + value, 0) ?? NaN;
  return Number.isFinite(ticks) ? ticks / ticksPerSecond : null;
}

/** Bytes that a process holds in memory; 0: it can't be told. */
function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readProc(`${pid}/status`) ?? "") ?? [];
  return Number(kilobytes ?? 0) * 1024;
}

function readProc(path: string): string | null {
  try {
    return Deno.readTextFileSync(`/proc/${path}`);
  } catch {
    return null;
  }
}

/** Sums up work between `begin` and `end`, again and again. */
export class WorkMeter {
  readonly #processes: () => readonly number[];
  #own = cpuUsage();
  #others: number | null = 0;
  /** Null: some process doesn't tell. */
  seconds: number | null = 0;
  peakBytes = 0;

  /** @param processes Whose work counts beside this one's. */
  constructor(processes: () => readonly number[]) {
    this.#processes = processes;
  }

  begin(): void {
    this.#others = this.#otherSeconds();
    this.#own = cpuUsage();
  }

  end(): void {
    const { user, system } = cpuUsage(this.#own);
    const others = this.#otherSeconds();
    this.seconds = this.seconds === null || others === null || this.#others === null
      ? null
      : this.seconds + (user + system) / 1e6 + others - this.#others;
    const bytes = this.#processes().reduce((sum, pid) => sum + residentBytes(pid), 0);
    this.peakBytes = Math.max(this.peakBytes, Deno.memoryUsage().rss + bytes);
  }

  #otherSeconds(): number | null {
    return this.#processes().reduce<number | null>((sum, pid) => {
      const seconds = processorSeconds(pid);
      return sum === null || seconds === null ? null : sum + seconds;
    }, 0);
  }
}
