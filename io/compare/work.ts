/** The work of an agent: processor time and memory as they are measured, tokens and operations as they
 * follow from the plans on paper. */
import { cpuUsage } from "node:process";
import type { ProgramWork } from "../score/silero.ts";

/** Sums up work between `begin` and `end`, again and again. */
export class WorkMeter {
  readonly #programs: () => Promise<readonly ProgramWork[]>;
  #own = cpuUsage();
  #others = 0;
  seconds = 0;
  peakBytes = 0;

  /** @param programs Whose work counts beside this one's. */
  constructor(programs: () => Promise<readonly ProgramWork[]>) {
    this.#programs = programs;
  }

  async begin(): Promise<void> {
    this.#others = sum(await this.#programs(), "seconds");
    this.#own = cpuUsage();
  }

  async end(): Promise<void> {
    const { user, system } = cpuUsage(this.#own);
    const programs = await this.#programs();
    this.seconds += (user + system) / 1e6 + sum(programs, "seconds") - this.#others;
    this.peakBytes = Math.max(this.peakBytes, Deno.memoryUsage().rss + sum(programs, "bytes"));
  }
}

const sum = (programs: readonly ProgramWork[], what: keyof ProgramWork) =>
  programs.reduce((all, one) => all + one[what], 0);
