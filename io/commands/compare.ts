/** `compare`: two agents over the same recordings, on the same machine and network. */
import { InputError } from "../../engine/config/errors.ts";
import type { ModelConfig } from "../../engine/config/config.ts";
import type { StreamShape } from "../../engine/checkpoint/unit.ts";
import { type AgentSpec, parseAgent } from "../agents/agent.ts";
import { smartTurnFile } from "../agents/smart_turn.ts";
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
  verdictOf,
} from "../compare/output.ts";
import { paperWork } from "../compare/paper.ts";
import { judgedFaults, pageSections, sweepTables } from "../compare/page.ts";
import { sweepPlot } from "../compare/plots.ts";
import { inspectLines, protocolOf } from "../compare/protocol.ts";
import { isJudged, jobsOf, shownOf } from "../compare/recordings.ts";
import type { Answered } from "../compare/result.ts";
import {
  agentSound,
  answerAll,
  othersIn,
  readSound,
  resultsPath,
  userSound,
} from "../compare/run.ts";
import { paired, sideBySide } from "../compare/sides.ts";
import { type Sweep, sweep, triedSettings } from "../compare/sweep.ts";
import type { Job } from "../eval/jobs.ts";
import { defaultDraws, figureOptions, seedRange } from "../eval/figures/output.ts";
import { conditions as kinds, madeOptions, parseSeeds } from "../eval/generate.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { fullDuplexBench } from "../layouts/full_duplex_bench.ts";
import { sourceDigest } from "../provenance/digests.ts";
import { streamShapes } from "../media/stream_shape.ts";
import { provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { checkPicture, checkReport, writePicture, writeReport } from "../reports/report.ts";
import { counted, tableMarkdown, tableText } from "../reports/table.ts";
import { sessionOptions } from "../run/open_model.ts";
import type { Detector } from "../score/score.ts";
import { Silero } from "../score/silero.ts";
import { ifThere, oneLine } from "../system/errors.ts";
import { Interrupt, interruptedCode } from "../system/interrupt.ts";
import { checkFree } from "../system/new_folder.ts";
import { print, say, showStatus } from "../system/terminal.ts";
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

/** Of conversations: intervals are over conversations, so many short ones say more than few long ones. */
const defaultSeconds = 10;

const spec = {
  name: "compare",
  summary,
  usage: "A B [FOLDER | --seeds FIRST..LAST] [options]",
  options: {
    ...madeOptions,
    // Agents of world 2 are given a picture, a voice and a prompt, which cascades can't take.
    world: { ...madeOptions.world, choices: ["1"] },
    seconds: { ...madeOptions.seconds, help: `their length (${defaultSeconds})` },
    swaps: {
      kind: "whole",
      min: 0,
      help: "how many also run with cards and questions swapped (0)",
    },
    layout: {
      kind: "choice",
      choices: [fullDuplexBench.name],
      help: "FOLDER is a benchmark's: only what is heard is measured",
    },
    conditions: {
      kind: "text",
      value: "LIST",
      help: `of made conversations: ${kinds.join(", ")}; or all (quiet)`,
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
    limit: {
      kind: "whole",
      min: 1,
      help: "the first N recordings only (a folder's swapped ones never)",
    },
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
    picture: { kind: "text", value: "FILE", help: "draw the sweep alone (.svg)" },
    force: { kind: "flag", help: "replace the report and the picture if they exist" },
    "no-sweep": {
      kind: "flag",
      help: "leave out what settings of turn-taking would decide over these recordings",
    },
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
  /** Smart Turn's network; null: it isn't installed. */
  smartTurn: (judges: string) => Promise<Pick<Silero, "judge"> & AsyncDisposable | null>;
}

/** Runs the command. @returns The exit code: 0, or 130 (interrupted). */
export function run(
  args: string[],
  handed: Handed,
  open: Openers = { agent: openAgent, detector: () => Silero.open(), smartTurn: openSmartTurn },
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
  if (options.picture !== undefined) await checkPicture(options.picture, options.force);
  const specs = [first, second].map(parseAgent);
  const conditions = conditionsOf(
    parseConditions(options.conditions ?? "quiet"),
    parseNetworks(options.network ?? "none"),
  );
  const { draws = defaultDraws, seed: noiseSeed = 0 } = options;
  const output = options.output ?? (options.report?.replace(/\.html?$/i, "") || "out/compare");
  await checkFree(output, true);
  const tellStep = (what: string) => options.quiet || say(what);
  const range = seedRange(options.seeds === undefined ? [] : parseSeeds(options.seeds));
  if (range?.startsWith("training range")) tellStep(range);
  const [main] = conditions;
  const mainName = main?.name ?? "";
  if (resultsPath(output, first, mainName) === resultsPath(output, second, mainName)) {
    throw new InputError(
      `${first} and ${second} would write the same file, ${
        resultsPath(output, first, mainName)
      }: give one of them another name`,
    );
  }
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
  let config: ModelConfig | null = null;
  let shown: string[] = [];
  let wanted = 0;
  await using detector = await open.detector();
  using interrupt = new Interrupt(() => Deno.exit(interruptedCode));
  const opened = (one: AgentSpec) =>
    open.agent(one, {
      model: { ...options, seed: undefined, model: undefined },
      ...{ ffmpeg, judges: handed.judges },
    });
  // What is wrong with the second shows before the first one works for hours.
  if (options.only === undefined) {
    for (const one of specs.slice(1)) {
      const agent = await opened(one);
      config = agent.config;
      await agent.close();
    }
  }
  for (const [at, one] of specs.entries()) {
    if (options.only !== undefined && options.only !== (at === 0 ? "A" : "B")) continue;
    const agent = await opened(one);
    try {
      const { name, line, settings, checkpointDigest, config: { unit_ms } } = agent;
      if (config !== null && unit_ms !== config.unit_ms) {
        throw new InputError(
          `${name}: a unit has ${unit_ms} ms, and ${config.unit_ms} ms with ${second}: compare ` +
            "agents with the same unit",
        );
      }
      config = agent.config;
      agents.push({ name, line, settings, checkpointDigest, paper: await paperWork(one, paper) });
      const own: Answered[][] = [];
      const lists: Job[][] = [];
      for (const [at, condition] of conditions.entries()) {
        lists.push(await jobsOf(choice, condition, at === 0, unit_ms));
      }
      shown = shownOf(options.show, lists.map((jobs) => jobs.map(({ name }) => name)));
      for (const [at, condition] of conditions.entries()) {
        const jobs = lists[at] ?? [];
        wanted += jobs.length;
        const ofThese = at === 0 || condition.lossy === null ? shown : [];
        const path = resultsPath(output, name, condition.name);
        if (await ifThere(Deno.stat(path)) !== null) tellStep(`reading ${path}`);
        own.push(
          await answerAll({
            ...{ agent, jobs, condition, folder: output, shown: ofThese, noiseSeed, program },
            detector,
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
    say(`interrupted after ${there} of ${counted(wanted, "recording")}: the same command goes on`);
    return interruptedCode;
  }
  const written = (kind: string, path: string) => tellStep(`${kind.padEnd(9)}${oneLine(path)}`);
  if (options.only !== undefined || config === null) {
    written("results", output);
    return 0;
  }
  const { unit_ms: unitMs } = config;
  tellStep(`figures of ${counted(there, "result")}, with ${counted(draws, "draw")} for intervals`);

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
  const pairs = conditions.map((_, at) => paired(answered[0]?.[at] ?? [], answered[1]?.[at] ?? []));
  const swept = options["no-sweep"] || !specs.some(({ kind }) => kind !== "folder") ||
      !pairs[0]?.[0].some(({ live }) => isJudged(live.truth))
    ? null
    : await sweepAll(options, handed, open, {
      folder: output,
      condition: mainName,
      agents: agents.map(({ name }, side) => ({ name, results: pairs[0]?.[side as 0 | 1] ?? [] })),
      shape: streamShapes(config).user,
      draws,
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
    const result = { unitMs, agents, conditions: compared, sweep: swept };
    await printResult("compare/1", provenance, result);
  } else if (options.csv) await print(comparedCsv(compared));
  else {
    const tables = [
      agentsTable(agents),
      ...compared.flatMap(comparedTables),
      ...judgedFaults({ compared, pairs, unitMs }),
      ...(swept ? sweepTables(swept) : []),
      ...compared.slice(0, 1).map((one) => ({
        ...{ title: "In short", columns: [], rows: [], notes: verdictOf(one) },
      })),
    ];
    await print(tables.map(options.markdown ? tableMarkdown : tableText).join("\n"));
  }
  if (options.picture !== undefined) {
    if (swept) await writePicture(options.picture, sweepPlot(swept.points));
    written("picture", swept ? options.picture : "none: there is no sweep without a cascade");
  }
  if (options.report !== undefined) {
    tellStep(`making the page ${options.report}`);
    const seedsText = seedRange(pairs[0]?.[0].map(({ live }) => live.truth.seed) ?? []);
    const benches = await pageSections({
      ...{ agents, compared, pairs, sweep: swept, unitMs, shown },
      sound: (agent, name) =>
        readSound(
          agent === null || main === undefined
            ? userSound(output, name)
            : agentSound(output, agent, main, noiseSeed, name),
          ffmpeg,
        ),
      protocol: protocolOf({ agents, compared, provenance, config, choice, seedsText }),
      inspect: (at, name) => {
        const condition = conditions[at];
        return condition ? inspectLines(agents, condition, name, { ...choice, noiseSeed }) : [];
      },
    });
    await writeReport(options.report, { provenance, model: { name: "Side by side" }, benches });
    written("report", options.report);
  }
  written("results", output);
  return 0;
}

/** What settings of turn-taking would decide over the recordings of the first condition. */
async function sweepAll(
  { draws: _, quiet, ffmpeg }: Options,
  { judges }: Handed,
  open: Openers,
  { folder, condition, agents, shape, draws }: {
    folder: string;
    condition: string;
    agents: { name: string; results: Answered[] }[];
    shape: StreamShape;
    draws: number;
  },
): Promise<Sweep> {
  const names = agents.map(({ name }) => name);
  const count = agents[0]?.results.length ?? 0;
  if (!quiet) say(`sweeping settings of turn-taking over ${counted(count, "recording")}`);
  const others = await othersIn(folder, condition, names, agents[0]?.results ?? []);
  const all = [...agents, ...others.agents];
  await using judge = await open.smartTurn(judges);
  const found = ffmpegFinder(ffmpeg);
  const swept = await sweep(
    ...[all, triedSettings(judge), shape] as const,
    (name) => readSound(userSound(folder, name), found),
    draws,
    (done, count) => quiet || showStatus(`turn-taking: ${done} of ${count} settings`),
    others.notes,
  );
  if (!quiet) showStatus("");
  const without = "Smart Turn isn't installed, so it isn't here: 'deno task setup --judges'";
  return judge ? swept : { ...swept, notes: [without, ...swept.notes] };
}

async function openSmartTurn(judges: string): Promise<Silero | null> {
  const file = await smartTurnFile(judges).catch((error) => {
    if (error instanceof InputError) return null;
    throw error;
  });
  return file === null ? null : await Silero.open(file);
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
  // A network that loses units is a condition of its own.
  const isOne = options.conditions === undefined && options.network === undefined;
  if (options.each !== undefined && isOne) {
    throw new InputError(
      "--each is about the conditions after the first: give --conditions or --network",
    );
  }
  if (options.picture !== undefined && options["no-sweep"]) {
    throw new InputError("--picture draws the sweep: leave --no-sweep out");
  }
  for (const name of ["report", "picture", "json", "csv", "markdown"] as const) {
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
