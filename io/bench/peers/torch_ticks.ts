/** Ticks of the shipped checkpoint beside PyTorch's, eager, as a person would run it on this machine. */
import { availableParallelism } from "node:os";
import { TickBench } from "../../../engine/bench/tick_bench.ts";
import { quantile } from "../../../kernels/measure/quantile.ts";
import { fileURLToPath } from "node:url";
import { openBenchGpu, openBenchModel } from "../model.ts";
import type { Status } from "../output.ts";
import type { PeerFigure, Peers, PeerWork } from "./peer_figures.ts";

/** Ticks that each runs in a round. */
const ticksEach = 6;

/**
 * Ticks of this engine and of each PyTorch that is here, with one thread and with all, in rounds in which
 * all take turns. Every tick is over a full history.
 *
 * @param scripts The folder of scripts/train. @param missing Gets those that can't be run, and why.
 */
export async function torchTicks(
  scripts: string,
  adapter: string,
  rounds: number,
  status: Status,
  missing: Peers["missing"],
): Promise<PeerWork> {
  const model = await openBenchModel({}, status);
  const gpu = await openBenchGpu(model, adapter);
  const children: TorchChild[] = [];
  try {
    const own = await TickBench.create(gpu, model.checkpoint, model.settings);
    own.jump(model.settings.historyUnits);
    await own.run(2);
    const folder = fileURLToPath(new URL("../../../engine/models/nano-1", import.meta.url));
    for (const [library, python] of pythons(scripts)) {
      status(`opening ${library}`);
      try {
        children.push(await TorchChild.open(python, scripts, folder));
      } catch (error) {
        missing.push({ library, why: error instanceof Error ? error.message : String(error) });
      }
    }
    const times = new Map<PeerFigure, number[]>();
    const figureOf = (library: string, version: string) => {
      const figure: PeerFigure = { library, version };
      times.set(figure, []);
      return figure;
    };
    const ours = figureOf("wanstream", "this");
    const threads = [...new Set([1, availableParallelism()])];
    const theirs = children.flatMap((child) =>
      threads.map((count) => ({
        ...{ child, count },
        figure: figureOf(`PyTorch, ${count} thread${count === 1 ? "" : "s"}`, child.version),
      }))
    );
    for (let round = 1; round <= rounds; round++) {
      status(`ticks beside PyTorch, round ${round} of ${rounds}`);
      times.get(ours)?.push(...(await own.run(ticksEach)).map(({ tick }) => tick));
      for (const { child, count, figure } of theirs) {
        times.get(figure)?.push(...await child.run(ticksEach, count));
      }
    }
    const figures = [...times].map(([figure, ms]) => ({
      ...figure,
      ms: quantile(ms, 0.5),
      quartiles: [quantile(ms, 0.25), quantile(ms, 0.75)] as [number, number],
    }));
    const [first] = figures;
    return {
      work: "a streaming tick of nano-1",
      flops: null,
      figures: figures.map((figure) => ({ ...figure, ratio: figure.ms / (first?.ms ?? NaN) })),
    };
  } finally {
    for (const child of children) await child.close();
    gpu.destroy();
  }
}

/** The environment that `setup --training` makes, and the system's own, which may have Debian's PyTorch. */
const pythons = (scripts: string): [library: string, python: string][] => [
  ["PyTorch of scripts/.venv", `${scripts}.venv/bin/python`],
  ["PyTorch of the system", "/usr/bin/python3"],
];

/** `train.tick`: a line of JSON for each line. */
class TorchChild {
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #said: Promise<string>;
  #rest = "";
  /** PyTorch's. */
  version = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#stdin = child.stdin.getWriter();
    this.#lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#said = new Response(child.stderr).text();
  }

  /** @throws Error that says why it can't be run, and the remedy. */
  static async open(python: string, scripts: string, checkpoint: string): Promise<TorchChild> {
    let spawned: Deno.ChildProcess;
    try {
      spawned = new Deno.Command(python, {
        args: ["-m", "train.tick", checkpoint],
        cwd: scripts,
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    } catch {
      throw new Error(`${python} isn't there: 'deno task setup --training' installs one`);
    }
    const child = new TorchChild(spawned);
    try {
      child.version = (await child.#line() as { version: string }).version;
      return child;
    } catch (error) {
      await child.close();
      throw error;
    }
  }

  /** Milliseconds of so many ticks. */
  async run(ticks: number, threads: number): Promise<number[]> {
    await this.#stdin.write(
      new TextEncoder().encode(`${JSON.stringify({ ticks, threads })}\n`),
    );
    return await this.#line() as number[];
  }

  async #line(): Promise<unknown> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return JSON.parse(line);
      }
      const { value } = await this.#lines.read();
      if (value === undefined) {
        throw new Error((await this.#said).trimEnd().split("\n").at(-1) || "it ended by itself");
      }
      this.#rest += value;
    }
  }

  async close(): Promise<void> {
    await this.#stdin.close().catch(() => {});
    await this.#lines.cancel();
    await this.#child.status;
    await this.#said;
  }
}
