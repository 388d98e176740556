/** `bench peers`: this engine's kernels beside those of other WebGPU libraries, as ratios. */
import { RunError } from "../../system/errors.ts";
import type { CommandSpec, Option } from "../../cli/options.ts";
import { outputOptions, runBench, type Status } from "../output.ts";
import type { Bench } from "../../reports/report.ts";
import type { Peers, PeerWork } from "./peer_figures.ts";
import { torchTicks } from "./torch_ticks.ts";
import { peersPlot } from "../../reports/plots.ts";
import { figure, range, type Table, tableOf } from "../../reports/table.ts";

export const summary =
  "products and attention beside other WebGPU libraries, ticks beside PyTorch (minutes, downloads)";

const spec = {
  name: "bench peers",
  summary,
  usage: "[options]",
  options: {
    adapter: { kind: "text", value: "SPEC", help: "adapter, as 'adapters' lists them (default)" },
    rounds: { kind: "whole", min: 1, max: 100, help: "rounds in which all take turns (5)" },
    ...outputOptions,
  },
  examples: ["wanstream bench peers", "wanstream bench peers --rounds 9 --json > peers.json"],
} as const satisfies CommandSpec<Record<string, Option>>;

/** Runs the command. */
export function run(args: string[], programs: PeerPrograms): Promise<number> {
  return runBench(spec, args, async ({ adapter = "default", rounds = 5 }, status) => {
    const peers = await runPeers(programs.peers, adapter, rounds, status);
    const ticks = await torchTicks(programs.scripts, adapter, rounds, status, peers.missing);
    return bench({ ...peers, works: [...peers.works, ticks] }, rounds, adapter);
  });
}

/** What is started. */
export interface PeerPrograms {
  /** The folder of the program that runs the libraries. */
  peers: string;
  /** The folder of scripts/train, which has a tick in PyTorch. */
  scripts: string;
}

function bench(peers: Peers, rounds: number, spec: string): Bench {
  return {
    name: "peers",
    headline: `beside other libraries on ${peers.adapter}, ${rounds} rounds in one run`,
    figures: { ...peers, works: peers.works.map(whole) },
    startsPrograms: true,
    tables: [...peers.works.map(workTable), {
      title: "How this was measured",
      columns: [],
      rows: [],
      notes: [
        ...peers.missing.map(({ library, why }) => `${library} could not be opened: ${why}`),
        "All f32, all checked against float64 first, all timed alike: the time of n + 1 runs and one " +
        "readback less that of one run and one, over n; medians of rounds in which all take turns.",
        "Each library has its operands in the order of axes that suits it, laid out before. " +
        "onnxruntime-web runs a model of the work, one session.run() a time.",
        "A tick of PyTorch is eager and in f32, of the same checkpoint and solver, over a full history, " +
        "encoders and decoders unit by unit (scripts/train/tick.py).",
      ],
    }],
    plots: [
      peersPlot(
        peers.works.flatMap(({ work, figures }) =>
          figures.flatMap(({ library, ratio }) =>
            ratio === undefined ? [] : [{ work, library, ratio }]
          )
        ),
      ),
    ],
    origin: {
      settings: { rounds },
      places: {
        placement: "fused",
        thinker: { adapter: peers.adapter, spec, kernels: {} },
        performers: [],
      },
    },
  };
}

async function runPeers(
  folder: string,
  adapter: string,
  rounds: number,
  status: Status,
): Promise<Peers> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", "--frozen", "-P", "--config", `${folder}deno.json`]
      .concat(`${folder}peers.ts`, `${rounds}`, adapter),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let said = "";
  const listening = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      said += text;
      status(lastLine(said));
    }
  })();
  const text = await new Response(child.stdout).text();
  await listening;
  const { success } = await child.status;
  if (!success) {
    const error = said.split("\n").findLast((line) => /error/i.test(line));
    throw new RunError(`bench peers: ${error ?? (lastLine(said) || "no reason")}`);
  }
  return JSON.parse(text);
}

/** A work whose figures have every key. */
const whole = ({ work, flops, figures }: PeerWork) => ({
  work,
  flops,
  figures: figures.map((one) => ({
    ...{ ms: null, quartiles: null, gigaflops: null, ratio: null, failed: null },
    ...one,
  })),
});

const lastLine = (text: string) => text.trimEnd().split("\n").at(-1) ?? "";

function workTable({ work, figures }: PeerWork): Table {
  return tableOf(work, figures, [
    ["library", ({ library, failed }) => failed === undefined ? library : `${library}: ${failed}`],
    ["version", ({ version }) => version],
    ["ms", ({ ms }) => figure(ms)],
    ["quartiles", ({ quartiles }) => quartiles ? range(quartiles) : null],
    ["GFLOP/s", ({ gigaflops }) => figure(gigaflops)],
    ["times as long", ({ ratio }) => figure(ratio)],
  ]);
}
