/** `score`: how systems converse, by their recordings alone. */
import { InputError } from "../../engine/config/errors.ts";
import { runCommand } from "../cli/commands.ts";
import { checkForms } from "../cli/forms.ts";
import { type CommandSpec, ffmpegOption, type Option, type Parsed } from "../cli/options.ts";
import { defaultDraws, figureOptions } from "../eval/figures/output.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { type Conversation, findConversations } from "../layouts/conversations.ts";
import { fullDuplexBench } from "../layouts/full_duplex_bench.ts";
import { provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { printResult } from "../provenance/result.ts";
import { checkReport, writeReport } from "../reports/report.ts";
import { recordsCsv, type Table, tableMarkdown, tableText } from "../reports/table.ts";
import { figuresOf } from "../score/figures.ts";
import {
  benchRecords,
  type BenchSystem,
  benchTable,
  scoreSamples,
} from "../score/full_duplex_bench/output.ts";
import type { Hearing } from "../score/full_duplex_bench/samples.ts";
import { Judges, parseJudges } from "../score/judges.ts";
import {
  conversationsTable,
  figuresTable,
  heading,
  sections,
  type System,
  systemJson,
  systemsCsv,
} from "../score/output.ts";
import { parseRegion } from "../score/picture.ts";
import { type ConversationScore, type Detector, scoreConversation } from "../score/score.ts";
import { Silero, sileroVersion } from "../score/silero.ts";
import { oneLine } from "../system/errors.ts";
import { print, say, showStatus } from "../system/terminal.ts";

export const summary =
  "turns, latencies, barge-ins, lips: any system's conversations, by recordings";

const spec = {
  name: "score",
  summary,
  usage: "DIR... [options]",
  options: {
    layout: {
      kind: "choice",
      choices: [fullDuplexBench.name],
      help: "the official figures of a benchmark's folder in place of our own",
    },
    delay: {
      kind: "number",
      value: "MS",
      min: 0,
      max: 60_000,
      help: "agents are heard so much later than their files say (replays: one unit; others: 0)",
    },
    mouth: {
      kind: "text",
      value: "L,T,R,B",
      help: "edges of the agent's mouth, parts of width and height (0,0,1,1: all of the picture)",
    },
    judges: {
      kind: "text",
      value: "LIST",
      help: "words, quality, voice, or all (after 'deno task setup --judges')",
    },
    ...figureOptions,
    report: { kind: "text", value: "FILE", help: "write a page with timelines (.html)" },
    force: { kind: "flag", help: "replace the report if it exists" },
    ...ffmpegOption,
    quiet: { kind: "flag", help: "say nothing but errors and the figures" },
  },
  examples: [
    "wanstream score samples/eval",
    "wanstream score out/nano their-recordings --report out/score.html",
    "wanstream score call.wav --judges words --json",
    "wanstream score --layout full-duplex-bench v1.0",
  ],
} as const satisfies CommandSpec<Record<string, Option>>;

/** What main.ts hands in. */
export interface Programs {
  /** The folder of the judges. */
  judges: string;
}

/** Runs the command. @param open Opens the detector; tests bring their own. @returns The exit code. */
export function run(
  args: string[],
  programs: Programs,
  open: () => Promise<Detector & AsyncDisposable> = Silero.open,
): Promise<number> {
  return runCommand(
    spec,
    args,
    (options, folders, started) => score(options, folders, started, programs, open),
  );
}

type Options = Parsed<typeof spec.options>["options"];

async function score(
  options: Options,
  folders: string[],
  started: StartedRun,
  programs: Programs,
  open: () => Promise<Detector & AsyncDisposable>,
): Promise<number> {
  checkForms(options);
  if (folders.length === 0) {
    throw new InputError("score needs a folder of conversations: score DIR");
  }
  const twice = folders.find((folder, i) => folders.indexOf(folder) !== i);
  if (twice !== undefined) throw new InputError(`${twice}: is given twice: give it once`);
  if (options.report !== undefined) await checkReport(options.report, options.force);
  if (options.layout !== undefined) {
    return await scoreLayout(options, folders, started, programs, open);
  }
  const { draws = defaultDraws, delay, mouth, judges: asked } = options;
  const region = mouth === undefined ? undefined : parseRegion("--mouth", mouth);
  const wanted = asked === undefined ? [] : parseJudges(asked);
  const ffmpeg = ffmpegFinder(options.ffmpeg);
  const found = [];
  for (const name of folders) found.push({ name, ...await findConversations(name, ffmpeg) });
  await using judges = wanted.length > 0 ? await Judges.open(programs.judges, wanted) : null;
  await using detector = await open();
  const systems: System[] = [];
  for (const { name, conversations, leftOut } of found) {
    const scores: ConversationScore[] = [];
    const one = (conversation: Conversation) =>
      scoreConversation(conversation, detector, {
        ...{ ffmpeg, delay: delay === undefined ? undefined : delay / 1000, mouth: region },
        judge: judges ? (sound, speech) => judges.judge(sound, speech) : undefined,
      });
    // Some are read while others are scored. Judges take one after the other.
    const together = judges ? 1 : 4;
    for (let at = 0; at < conversations.length; at += together) {
      if (!options.quiet) showStatus(`${name}: ${at + 1} of ${conversations.length}`);
      const group = conversations.slice(at, at + together);
      for (const settled of await Promise.allSettled(group.map(one))) {
        if (settled.status === "fulfilled") scores.push(settled.value);
        else if (settled.reason instanceof InputError) leftOut.push(settled.reason.message);
        else throw settled.reason;
      }
    }
    if (scores.length === 0) {
      throw new InputError(`${name}: none of its conversations can be scored: ${leftOut[0]}`);
    }
    systems.push({ name, conversations: scores, leftOut, figures: figuresOf(scores, draws) });
  }
  if (!options.quiet) {
    showStatus("");
    for (const { name, leftOut } of systems) {
      for (const line of leftOut) say(oneLine(`${name}: left out: ${line}`));
    }
  }
  const detectors = { voice: sileroVersion, level: "-40 dB of full scale" };
  const settings = {
    detectors,
    judges: judges?.names ?? null,
    delayMs: delay ?? null,
    mouth: region ?? null,
    draws,
  };
  const provenance = await provenanceOf(started, { settings });
  const notes = [
    `voice activity by ${sileroVersion}; beside it by level, ${detectors.level}`,
    ...Object.entries(judges?.names ?? {}).map(([name, what]) => `${name} by ${what}`),
    ...(systems.some((one) => one.conversations.some(({ kind }) => kind === "replay"))
      ? [
        `replays are heard ${
          delay === undefined ? "one unit" : `${delay} ms`
        } after their files say`,
      ]
      : []),
    "every figure is defined in docs/score.md",
  ];
  if (options.json) {
    await printResult("score/1", provenance, { systems: systems.map(systemJson) });
  } else if (options.csv) await print(systemsCsv(systems));
  else {
    const [first] = systems;
    const tables: Table[] = [figuresTable(systems, notes)];
    if (first && systems.length === 1) tables.unshift(conversationsTable(first));
    const text = options.markdown ? tableMarkdown : tableText;
    await print(`${systems.map(heading).join("\n")}\n\n${tables.map(text).join("\n")}`);
  }
  if (options.report !== undefined) {
    await writeReport(options.report, {
      provenance,
      model: null,
      benches: sections(systems, notes),
    });
  }
  return 0;
}

/** The official figures of Full-Duplex-Bench's folders. */
async function scoreLayout(
  options: Options,
  folders: string[],
  started: StartedRun,
  programs: Programs,
  open: () => Promise<Detector & AsyncDisposable>,
): Promise<number> {
  const { draws = defaultDraws, judges: asked, layout } = options;
  for (const name of ["delay", "mouth"] as const) {
    if (options[name] === undefined) continue;
    throw new InputError(`--${name} and --layout exclude each other: leave one out`);
  }
  const wanted = asked === undefined ? [] : parseJudges(asked);
  if (wanted.some((name) => name !== "words")) {
    throw new InputError(`--judges ${asked}: with --layout it may be words`);
  }
  await using judges = wanted.length > 0 ? await Judges.open(programs.judges, wanted) : null;
  await using closing = new AsyncDisposableStack();
  let detector: Promise<Detector> | null = null;
  const hearing: Hearing = {
    ffmpeg: ffmpegFinder(options.ffmpeg),
    detector: () => detector ??= open().then((opened) => closing.use(opened)),
    words: judges && ((sound) => judges.judge(sound, []).then(({ words }) => words ?? [])),
  };
  const systems: BenchSystem[] = [];
  for (const name of folders) {
    systems.push(
      await scoreSamples(name, hearing, draws, (done, all) => {
        if (!options.quiet) showStatus(`${name}: ${done} of ${all}`);
      }),
    );
  }
  if (!options.quiet) {
    showStatus("");
    for (const { leftOut } of systems) {
      for (const line of leftOut) say(oneLine(`left out: ${line}`));
    }
  }
  const provenance = await provenanceOf(started, {
    settings: { layout, detector: detector && sileroVersion, judges: judges?.names ?? null, draws },
  });
  const tables = systems.map(benchTable);
  if (options.json) await printResult("score-full-duplex-bench/1", provenance, { systems });
  else if (options.csv) await print(recordsCsv(systems.flatMap(benchRecords)));
  else await print(tables.map(options.markdown ? tableMarkdown : tableText).join("\n"));
  if (options.report !== undefined) {
    const benches = systems.map(({ name }, i) => ({
      ...{ name: `system${i + 1}`, headline: name, figures: {}, plots: [] },
      tables: tables.slice(i, i + 1),
    }));
    await writeReport(options.report, { provenance, model: null, benches });
  }
  return 0;
}
