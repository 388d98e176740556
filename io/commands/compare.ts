/** `compare`: two agents over the same recordings, on the same machine and network. */
import { InputError } from "../../engine/config/errors.ts";
import { parseAgent } from "../agents/agent.ts";
import { openAgent } from "../agents/open.ts";
import { runCommand } from "../cli/commands.ts";
import { checkForms } from "../cli/forms.ts";
import { modelOptions } from "../cli/model_options.ts";
import { type CommandSpec, ffmpegOption, type Option, type Parsed } from "../cli/options.ts";
import { conditionsOf, parseConditions, parseNetworks } from "../compare/conditions.ts";
import {
  type Agent,
  agentsTable,
  type Compared,
  comparedCsv,
  comparedTables,
} from "../compare/output.ts";
import { paperWork } from "../compare/paper.ts";
import { isJudged, jobsOf } from "../compare/recordings.ts";
import type { Answered } from "../compare/result.ts";
import { answerAll } from "../compare/run.ts";
import { paired, sideBySide } from "../compare/sides.ts";
import { defaultDraws, figureOptions } from "../eval/figures/output.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { fullDuplexBench } from "../layouts/full_duplex_bench.ts";
import { sourceDigest } from "../provenance/digests.ts";
import { provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { checkReport } from "../reports/report.ts";
import { tableMarkdown, tableText } from "../reports/table.ts";
import { sessionOptions } from "../run/open_model.ts";
import type { Detector } from "../score/score.ts";
import { Silero } from "../score/silero.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { print, say } from "../system/terminal.ts";
import type { Sources } from "./eval.ts";
import type { Programs } from "./score.ts";

export const summary = "two agents on the same recordings and network: a model, a cascade, answers";

const {
  prompt: _,
  persona: _p,
  voice: _v,
  "user-text": _u,
  schedule: _s,
  model: _m,
  seed,
  ...answering
} = modelOptions;

/** Length of made conversations where --seconds isn't given. */
const defaultSeconds = 24;

const spec = {
  name: "compare",
  summary,
  usage: "A B [FOLDER | --seeds FIRST..LAST] [options]",
  options: {
    seeds: {
      kind: "text",
      value: "FIRST..LAST",
      help: "conversations of these seeds, made when needed (needs Python)",
    },
    world: { kind: "choice", choices: ["1"], help: "the world that they are made in (1)" },
    seconds: { kind: "number", value: "N", min: 10, max: 3600, help: "their length (24)" },
    swaps: {
      kind: "whole",
      min: 0,
      help: "how many also run with cards and questions swapped (0)",
    },
    keep: { kind: "text", value: "DIR", help: "keep them here, and use those that are there" },
    layout: {
      kind: "choice",
      choices: [fullDuplexBench.name],
      help: "FOLDER is a benchmark's: only what is heard is measured",
    },
    conditions: {
      kind: "text",
      value: "LIST",
      help: "of made conversations: quiet, noisy, voices, pauses, overlap; or all (quiet)",
    },
    each: {
      kind: "whole",
      min: 1,
      help: "recordings under every condition but the first (as many as there)",
    },
    network: {
      kind: "text",
      value: "LIST",
      help:
        "networks apart by ';', e.g. 'none;350ms'; all: none, 350ms, 350ms+-80ms,loss=1% (none)",
    },
    limit: { kind: "whole", min: 1, help: "the first N recordings only" },
    only: {
      kind: "choice",
      choices: ["A", "B"],
      help: "let this agent answer and print nothing: for two processes, one for each agent",
    },
    show: {
      kind: "text",
      value: "LIST",
      help: "recordings whose sound and timeline stand in the page (the first three)",
    },
    seed,
    ...answering,
    output: {
      kind: "text",
      short: "o",
      value: "DIR",
      help: "results, one file for each agent and condition: what is there isn't run again " +
        "(beside the report, or out/compare)",
    },
    report: { kind: "text", value: "FILE", help: "write a page with everything (.html)" },
    force: { kind: "flag", help: "replace the report if it exists" },
    ...ffmpegOption,
    quiet: { kind: "flag", help: "say nothing but errors and the figures" },
    ...figureOptions,
  },
  examples: [
    "wanstream compare engine/models/nano-1 cascade:engine/models/nano-modules --limit 2",
    "wanstream compare engine/models/nano-1 cascade:engine/models/nano-modules --seeds 100000..100199 " +
    "--conditions all --each 40 --network all --report out/settle.html",
    "wanstream compare A B --seeds 100000..100199 --only A -o out/ab",
    "wanstream compare engine/models/nano-1 their-answers my-recordings",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

/** What main.ts hands in. */
export interface Handed extends Sources, Programs {}

/** What opens agents and the detector; tests bring their own. */
export interface Openers {
  agent: typeof openAgent;
  detector: () => Promise<Detector & AsyncDisposable>;
}

/** Runs the command. @returns The exit code: 0, or 130 (interrupted). */
export function run(
  args: string[],
  handed: Handed,
  open: Openers = { agent: openAgent, detector: Silero.open },
): Promise<number> {
  return runCommand(
    spec,
    args,
    (options, operands, started) => comparison(options, operands, started, handed, open),
  );
}

type Options = Parsed<typeof spec.options>["options"];

async function comparison(
  options: Options,
  [first, second, folder, surplus]: string[],
  started: StartedRun,
  handed: Handed,
  open: Openers,
): Promise<number> {
  if (first === undefined || second === undefined) {
    throw new InputError("compare needs two agents: compare A B");
  }
  if (surplus !== undefined) {
    throw new InputError(`compare takes two agents and a folder, '${surplus}' is one too many`);
  }
  if (first === second) throw new InputError(`${first}: is given twice: give two agents`);
  checkTogether(options, folder);
  checkForms(options);
  if (options.report !== undefined) await checkReport(options.report, options.force);
  const specs = [first, second].map(parseAgent);
  const conditions = conditionsOf(
    parseConditions(options.conditions ?? "quiet"),
    parseNetworks(options.network ?? "none"),
  );
  const { draws = defaultDraws, seed: noiseSeed = 0 } = options;
  const output = options.output ?? options.report?.replace(/\.html?$/i, "") ?? "out/compare";
  const ffmpeg = ffmpegFinder(options.ffmpeg);
  const program = await sourceDigest(shaping(handed.floors), /\.(ts|wgsl)$/);
  const choice = {
    ...{ folder: folder ?? handed.smallSet, isLayout: options.layout !== undefined },
    ...{ seeds: options.seeds, seconds: options.seconds ?? defaultSeconds },
    ...{ swaps: options.swaps ?? 0, limit: options.limit, each: options.each },
    ...{ keep: options.keep, world: handed.world, quiet: options.quiet },
  };
  const paper = sessionOptions({ ...options, model: undefined, seed: undefined });
  const agents: Agent[] = [];
  const answered: Answered[][][] = [];
  let [unitMs, wanted] = [0, 0];
  await using detector = await open.detector();
  using interrupt = new Interrupt(() => Deno.exit(interruptedCode));
  for (const [at, one] of specs.entries()) {
    if (options.only !== undefined && options.only !== (at === 0 ? "A" : "B")) continue;
    const agent = await open.agent(one, {
      model: { ...options, seed: undefined, model: undefined },
      ...{ ffmpeg, judges: handed.judges },
    });
    try {
      const { name, line, settings, checkpointDigest, config } = agent;
      if (unitMs > 0 && unitMs !== config.unit_ms) {
        throw new InputError(
          `${name}: a unit has ${config.unit_ms} ms, and ${unitMs} ms with ${first}: compare agents ` +
            "with the same unit",
        );
      }
      unitMs = config.unit_ms;
      agents.push({ name, line, settings, checkpointDigest, paper: await paperWork(one, paper) });
      const own: Answered[][] = [];
      for (const [at, condition] of conditions.entries()) {
        const jobs = await jobsOf(choice, condition, at === 0, unitMs);
        wanted += jobs.length;
        const shown = options.show?.split(",") ??
          (at === 0 ? jobs.slice(0, 3).map(({ name }) => name) : []);
        own.push(
          await answerAll({
            ...{ agent, jobs, condition, folder: output, shown, noiseSeed, program, detector },
            ...{ seeds: options.seeds ?? null, ffmpeg, started, quiet: options.quiet },
            signal: interrupt.signal,
          }),
        );
      }
      answered.push(own);
    } finally {
      await agent.close();
    }
  }
  const there = answered.flat().reduce((sum, { length }) => sum + length, 0);
  if (there < wanted) {
    say(`interrupted after ${there} of ${wanted} recordings: the same command goes on`);
    return interruptedCode;
  }
  if (options.only !== undefined) return 0;

  const compared = conditions.map((condition, at): Compared => {
    const [all, others] = [answered[0]?.[at] ?? [], answered[1]?.[at] ?? []];
    const pair = paired(all, others);
    const both = new Set(pair[0].map(({ name }) => name));
    if (both.size === 0) {
      throw new InputError(`${condition.name}: the two have no recording in common`);
    }
    return {
      ...{ name: condition.name, networks: condition.networks, recordings: both.size },
      leftOut: [...all, ...others].map(({ name }) => name).filter((name) => !both.has(name)),
      figures: sideBySide(pair, condition.networks, unitMs, draws)
        .filter(({ group }) =>
          group !== "eval" || pair[0].some(({ live }) => isJudged(live.truth))
        ),
    };
  });
  const provenance = await provenanceOf(started, {
    settings: {
      ...{ agents: agents.map(({ settings }) => settings), draws, swaps: choice.swaps },
      ...{ conditions: conditions.map(({ name }) => name), seconds: choice.seconds },
      networks: options.network ?? "none",
    },
    seeds: { noise: noiseSeed, recordings: options.seeds ?? null },
  });
  if (options.json) {
    await printResult("compare/1", provenance, { unitMs, agents, conditions: compared });
  } else if (options.csv) await print(comparedCsv(compared));
  else {
    const tables = [agentsTable(agents), ...compared.flatMap(comparedTables)];
    await print(tables.map(options.markdown ? tableMarkdown : tableText).join("\n"));
  }
  return 0;
}

function checkTogether(options: Options, folder: string | undefined): void {
  if (folder !== undefined && options.seeds !== undefined) {
    throw new InputError("compare takes a folder or --seeds, not both");
  }
  for (const name of ["world", "seconds", "swaps", "keep", "conditions"] as const) {
    if (options[name] !== undefined && options.seeds === undefined) {
      throw new InputError(`--${name} is about made conversations: give --seeds FIRST..LAST`);
    }
  }
  if (options.layout !== undefined && folder === undefined) {
    throw new InputError(`--layout ${options.layout} needs its folder: compare A B FOLDER`);
  }
  for (const name of ["report", "json", "csv", "markdown"] as const) {
    if (options.only !== undefined && options[name]) {
      throw new InputError(`--only prints nothing: leave --${name} out`);
    }
  }
}

/** Rooms of io/ that shape answers and their measurement; pages and tables may change. */
const shapingRooms = ["agents", "eval/measures", "score", "pace", "media", "ffmpeg", "ends"];

const shaping = (floors: readonly string[]) =>
  floors.flatMap((floor) =>
    /\/io$/.test(floor) ? shapingRooms.map((room) => `${floor}/${room}`) : [floor]
  );
