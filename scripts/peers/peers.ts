/**
 * The same work on the same adapter in the same run, through this engine and other libraries; prints
 * JSON. `deno task bench peers` starts it.
 *
 *     deno run -P --config scripts/peers/deno.json scripts/peers/peers.ts [rounds [adapter]]
 *
 * A project of its own, so that nobody who only runs the engine downloads the others. Every result is
 * compared with float64 before anything is timed. All are timed alike: the time of n + 1 runs with one
 * readback, less that of one run with one, over n; in rounds in which all take turns.
 */
import type { PeerFigure, Peers, PeerWork } from "../../io/bench/peers/peer_figures.ts";
import { Gpu } from "../../kernels/gpu/device.ts";
import { jax, onnx, tfjs } from "./others.ts";
import { ours, plain } from "./ours.ts";
import {
  expected,
  type Library,
  operands,
  type Runner,
  type Work,
  workFlops,
  workName,
  works,
} from "./work.ts";

/** Milliseconds that a batch should last. */
const batchMs = 60;
/** Allowed difference, of the largest value. */
const tolerance = 1e-3;

const write = (
  stream: { writeSync(bytes: Uint8Array): number },
  text: string,
) => {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) {
    at += stream.writeSync(bytes.subarray(at));
  }
};
const say = (line: string) => write(Deno.stderr, `${line}\n`);

/** What libraries print would stand in the JSON. */
function silence(): void {
  const nothing = () => {};
  Object.assign(globalThis["console"], {
    log: nothing,
    info: nothing,
    warn: nothing,
    debug: nothing,
  });
}

const reason = (error: unknown) =>
  (error instanceof Error ? error.message : String(error)).split("\n")[0]
    ?.slice(0, 200) ?? "";

async function time(run: Runner, times: number): Promise<number> {
  const start = performance.now();
  await run(times);
  return performance.now() - start;
}

const at = (sorted: readonly number[], p: number) =>
  sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? NaN;

/** Prepares the work, checks the result, and gives what one batch should hold. */
async function prepare(
  library: Library,
  work: Work,
): Promise<{ run: Runner; batch: number }> {
  const given = operands(work);
  const want = expected(work, given);
  const run = await library.prepare(work, given);
  const result = await run(1);
  const largest = want.reduce(
    (most, value) => Math.max(most, Math.abs(value)),
    0,
  );
  const worst = want.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - (result[i] ?? NaN)) || 0),
    result.length === want.length && !result.some(Number.isNaN) ? 0 : Infinity,
  );
  if (worst > tolerance * largest) {
    throw new Error(`wrong answer: off by ${worst} of ${largest}`);
  }
  const once = Math.min(await time(run, 1), await time(run, 1));
  const several = Math.max(0.01, (await time(run, 4) - once) / 3);
  return {
    run,
    batch: Math.max(1, Math.min(200, Math.round(batchMs / several))),
  };
}

async function compare(
  libraries: readonly Library[],
  work: Work,
  rounds: number,
): Promise<PeerWork> {
  const flops = workFlops(work);
  const ready: {
    figure: PeerFigure;
    run: Runner;
    batch: number;
    times: number[];
  }[] = [];
  const figures: PeerFigure[] = [];
  for (const library of libraries) {
    const figure: PeerFigure = {
      library: library.name,
      version: library.version,
    };
    figures.push(figure);
    try {
      ready.push({ figure, ...await prepare(library, work), times: [] });
    } catch (error) {
      figure.failed = reason(error);
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const { run, batch, times } of ready) {
      const one = await time(run, 1);
      const many = await time(run, batch + 1);
      times.push(many > one ? (many - one) / batch : many / (batch + 1));
    }
  }
  for (const { figure, times } of ready) {
    const sorted = times.sort((a, b) => a - b);
    const ms = at(sorted, 0.5);
    Object.assign(figure, {
      ms,
      quartiles: [at(sorted, 0.25), at(sorted, 0.75)],
      gigaflops: flops / ms / 1e6,
    });
  }
  const own = figures[0]?.ms;
  for (const figure of figures) {
    if (own !== undefined && figure.ms !== undefined) {
      figure.ratio = figure.ms / own;
    }
  }
  return { work: workName(work), flops, figures };
}

if (import.meta.main) {
  silence();
  const rounds = Number(Deno.args[0] ?? 5);
  const gpu = await Gpu.open(Deno.args[1] ?? "default");
  say("choosing this engine's kernels");
  const libraries: Library[] = [await ours(gpu), plain(gpu)];
  const missing: Peers["missing"] = [];
  for (
    const [library, open] of Object.entries({
      "@jax-js/jax": jax,
      tfjs,
      "onnxruntime-web": onnx,
    })
  ) {
    say(`opening ${library}`);
    try {
      libraries.push(await open());
    } catch (error) {
      missing.push({ library, why: reason(error) });
    }
  }
  const found: PeerWork[] = [];
  for (const work of works) {
    say(workName(work));
    found.push(await compare(libraries, work, rounds));
  }
  const peers: Peers = { adapter: gpu.name, rounds, missing, works: found };
  write(Deno.stdout, JSON.stringify(peers));
  Deno.exit(0);
}
