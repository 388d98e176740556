/** Lets one agent answer all recordings of a condition, and keeps what came out as JSON lines: a run
 * that was killed goes on where it was. */
import { createHash } from "node:crypto";
import { InputError } from "../../engine/config/errors.ts";
import type { AgentSession, OpenedAgent } from "../agents/agent.ts";
import { evaluate } from "../eval/evaluate.ts";
import type { SharedBasis } from "../eval/figures/basis.ts";
import { EventsFile, eventsSchema, readEvalFile } from "../eval/figures/events_file.ts";
import { type RecordingResult, unflag } from "../eval/figures/recording_result.ts";
import type { Job } from "../eval/jobs.ts";
import type { Measured } from "../eval/measurement.ts";
import type { Measure } from "../eval/measures/outcomes.ts";
import { usable } from "../eval/resume.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { spokenWords } from "../layouts/words.ts";
import { streamShapes } from "../media/stream_shape.ts";
import { defaultTracks } from "../media/tracks.ts";
import { WavWriter } from "../media/wav.ts";
import { round } from "../pace/statistics.ts";
import { counted } from "../reports/table.ts";
import { valueDigest } from "../provenance/digests.ts";
import { provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { soundRate } from "../score/activity.ts";
import { listen } from "../score/listen.ts";
import { type Detector, scoreSides } from "../score/score.ts";
import { errorText } from "../../engine/config/error_text.ts";
import { ifThere, outputError } from "../system/errors.ts";
import { Lock } from "../system/lock.ts";
import type { Condition } from "./conditions.ts";
import { heardTurns, truthTurns } from "./latency.ts";
import { isJudged, noRecord } from "./recordings.ts";
import { type Answered, isAnswered } from "./result.ts";
import { paired } from "./sides.ts";
import { Tap } from "./tap.ts";
import { WorkMeter } from "./work.ts";

/** What an agent is asked to do. */
export interface Asked {
  agent: OpenedAgent;
  jobs: readonly Job[];
  condition: Condition;
  /** Where results are kept. */
  folder: string;
  /** Recordings whose sound is kept, so that a page can play it. */
  shown: readonly string[];
  noiseSeed: number;
  /** Digest of the program's part that shapes answers and their measurement. */
  program: string;
  /** Where recordings come from, in words. */
  seeds: string | null;
  detector: Detector;
  ffmpeg: FfmpegFinder;
  started: StartedRun;
  quiet: boolean;
  signal: AbortSignal;
}

/** A name as a file's. Where the signs that a file's name has don't tell it, a digest does. */
export function fileName(name: string): string {
  const plain = name.replace(/[^\w.=+-]+/g, "_");
  const isTold = /^[\w.=+,:;%/ ±-]{1,120}$/.test(name) && !/^(user|\.+)$/.test(plain);
  if (isTold) return plain;
  return `${plain.slice(-100)}-${createHash("sha256").update(name).digest("hex").slice(0, 12)}`;
}

/** The file of an agent's results. */
export const resultsPath = (folder: string, agent: string, condition: string) =>
  `${folder}/${fileName(agent)}.${fileName(condition)}.jsonl`;

/** The kept sound of the user: 16 kHz, mono. */
export const userSound = (folder: string, name: string) => `${folder}/sound/user/${name}.wav`;

/** The same of an agent, under the losses of a condition and with a seed of the noise. */
export function agentSound(
  folder: string,
  agent: string,
  { lossy, name: condition }: Condition,
  noiseSeed: number,
  name: string,
): string {
  const parts = [agent, ...(lossy ? [condition] : []), ...(noiseSeed ? [`${noiseSeed}`] : [])];
  return `${folder}/sound/${parts.map(fileName).join(".")}/${name}.wav`;
}

/**
 * @returns Results in the order of the jobs; those not reached before the signal are missing.
 * @throws InputError when the results can't be written, or another run writes them.
 */
export async function answerAll(asked: Asked): Promise<Answered[]> {
  const { agent: { name }, condition, folder } = asked;
  const path = resultsPath(folder, name, condition.name);
  const lock = await Deno.mkdir(folder, { recursive: true }).then(() => Lock.take(path))
    .catch((error) => {
      throw outputError(path, error);
    });
  if (lock === null) {
    throw new InputError(
      `${path}: another run is writing it: wait for its end, or give another folder to --output`,
    );
  }
  try {
    return await answerInto(path, asked);
  } finally {
    await lock.release();
  }
}

async function answerInto(path: string, asked: Asked): Promise<Answered[]> {
  const { agent, jobs, condition, folder, noiseSeed, shown } = asked;
  const { config, settings } = agent;
  const lossy = condition.lossy?.network ?? null;
  const soundOf = (name: string) => agentSound(folder, agent.name, condition, noiseSeed, name);
  const basis: Omit<SharedBasis, "generator"> = {
    checkpoint: agent.checkpointDigest,
    settings: valueDigest({ ...settings, lossy }),
    program: asked.program,
  };
  const there = await ifThere(Deno.stat(path)) !== null;
  const kept = there ? await readEvalFile(path) : null;
  // Answers that were put in or changed are played again: it costs nothing.
  const hasChanged = settings["kind"] === "recorded" &&
    kept?.results.some((one) => one.basis.checkpoint !== basis.checkpoint);
  const before = hasChanged ? null : kept;
  const { asked: known, others } = before
    ? usable(before, jobs, [noiseSeed], basis, settings, "another folder to --output")
    : { asked: [], others: [] };
  const earlier = await withSound(
    known.filter(isAnswered),
    (name) => [userSound(folder, name), ...(shown.includes(name) ? [soundOf(name)] : [])],
  );
  const isNew = earlier.length < jobs.length;
  const runs = [
    ...before?.header.runs ?? [],
    ...(isNew
      ? [
        await provenanceOf(asked.started, {
          settings: { ...settings, condition: condition.name },
          seeds: { noise: noiseSeed, recordings: asked.seeds, network: lossy?.seed ?? null },
          checkpoint: { path: agent.name, digest: agent.checkpointDigest, randomWeightsSeed: null },
        }),
      ]
      : []),
  ];
  const header = { type: "header", schema: eventsSchema, unitMs: config.unit_ms, runs } as const;
  using events = await EventsFile.create(path, header, [...others, ...earlier]);

  const { agent: shape } = streamShapes(config);
  let tap: Tap | null = null;
  let lacks: AgentSession["lacks"];
  let work = new WorkMeter(() => agent.programs());
  const answering = evaluate({
    jobs,
    noiseSeeds: [noiseSeed],
    basis,
    earlier,
    config,
    async open(seed, recording) {
      // An oracle can't know what isn't written down.
      const truth = recording.digests.truth === noRecord ? null : recording.truth;
      const session = await agent.open({ name: recording.name, truth }, seed);
      lacks = session.lacks;
      work = new WorkMeter(() => agent.programs());
      tap = new Tap(session, shape, work, lossy);
      return {
        ...{ session: tap, info: { placement: "fused" }, line: `${condition.name}: ${agent.line}` },
        checkpointDigest: agent.checkpointDigest,
      };
    },
    async more(recording, measured) {
      if (tap === null) throw new Error("nothing was opened");
      const { user: path, truth } = recording;
      const user = await listen({ path, tracks: defaultTracks }, null, asked.ffmpeg);
      const { sound, motion } = tap.listened;
      const heard = { user, agent: { sound, motion: lacks?.picture ? null : motion } };
      const said = measured.words.map(([unit, word]) => ({ unit, text: ` ${word}` }));
      let userScores: number[] = [];
      const detector: Detector = {
        async scores(sounds) {
          const all = await asked.detector.scores(sounds);
          userScores = Array.from(all[0] ?? [], (score) => round(score, 5));
          return all;
        },
      };
      const score = await scoreSides(
        {
          ...{ name: recording.name, kind: "replay" },
          user: { path, tracks: defaultTracks },
          agent: { path: agent.name, tracks: defaultTracks },
          ...{ delay: config.unit_ms / 1000, words: spokenWords(said, config.unit_ms) },
        },
        heard,
        detector,
      );
      await keepSound(userSound(folder, recording.name), user.sound);
      if (shown.includes(recording.name)) {
        await keepSound(soundOf(recording.name), heard.agent.sound);
      }
      const { seconds, peakBytes } = work;
      const own = lacks
        ? {
          isRecorded: true,
          computeMs: tap.live.computeMs.map(() => 0),
          cpuSeconds: null,
          peakBytes: 0,
        }
        : { cpuSeconds: seconds, peakBytes };
      return {
        ...knownOf(measured, lacks),
        live: { ...tap.live, ...own, truth, userScores, score },
      };
    },
    ffmpeg: asked.ffmpeg,
    events,
    quiet: asked.quiet,
    signal: asked.signal,
  });
  const results = await answering.catch(async (error) => {
    // An agent that answers nothing leaves nothing.
    if (!there && tap === null && error instanceof InputError) {
      await Deno.remove(path).catch(() => {});
    }
    throw error;
  });
  return results.filter(isAnswered).map((one) => withTurns(one, config.unit_ms));
}

/** What rests on the agent's words. */
const ofWords: readonly Measure[] = [
  "right",
  "new question",
  "naming",
  "greeting",
  "prompt",
  "word distance",
];

/** What is known of answers that others recorded without their words, or without a picture. */
function knownOf(
  { outcomes, lips, pictures }: Measured,
  lacks: AgentSession["lacks"],
): Partial<Measured> {
  if (!lacks) return {};
  return {
    solveMs: [],
    ...(lacks.words
      ? { outcomes: outcomes.filter(({ measure }) => !ofWords.includes(measure)) }
      : {}),
    ...(lacks.picture
      ? { lips: { ...lips, agent: null }, pictures: { all: null, first: null, last: null } }
      : { pictures }),
  };
}

/** Turns follow from what is kept, so that they are by today's rules. */
function withTurns(result: Answered, unitMs: number): Answered {
  const { active, live } = result;
  const turns = isJudged(live.truth)
    ? truthTurns(live.truth, unflag(active), unitMs)
    : heardTurns(live.score.voice.exchange, active, unitMs);
  return { ...result, live: { ...live, turns } };
}

/** Results whose sounds are there: the user's, and of a recording that is shown, the agent's. */
async function withSound(
  results: readonly Answered[],
  sounds: (name: string) => string[],
): Promise<Answered[]> {
  const kept: Answered[] = [];
  for (const result of results) {
    const there = await Promise.all(sounds(result.name).map((path) => ifThere(Deno.stat(path))));
    if (!there.includes(null)) kept.push(result);
  }
  return kept;
}

async function keepSound(path: string, sound: Float32Array): Promise<void> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  const writer = await WavWriter.create(path, soundRate);
  await writer.write(sound).finally(() => writer.close());
}

/**
 * What other agents answered under a condition, of which this folder holds results.
 *
 * @param but Agents that are left out. @param like Results of another agent: who didn't answer all of
 * these recordings with the same seed doesn't count.
 * @returns The others, and in words what is left out with why, and what another version of the program
 * answered.
 */
export async function othersIn(
  folder: string,
  condition: string,
  but: readonly string[],
  like: readonly Answered[],
): Promise<{ agents: { name: string; results: Answered[] }[]; notes: string[] }> {
  const agents: { name: string; results: Answered[] }[] = [];
  const notes: string[] = [];
  const own = new Set(but.map((name) => resultsPath(folder, name, condition)));
  const isLike = ({ noiseSeed }: RecordingResult) => noiseSeed === like[0]?.noiseSeed;
  const program = like[0]?.basis.program;
  const entries = await Array.fromAsync(Deno.readDir(folder));
  for (const file of entries.map(({ name }) => name).sort()) {
    const path = `${folder}/${file}`;
    if (!file.endsWith(`.${fileName(condition)}.jsonl`) || own.has(path)) continue;
    const read = await readEvalFile(path).catch((error) =>
      `${file} isn't here: ${errorText(error)}`
    );
    if (typeof read === "string") {
      notes.push(read);
      continue;
    }
    const { header: { runs, unitMs }, results } = read;
    const { path: given } = { ...runs.at(-1)?.checkpoint };
    const name = typeof given === "string" ? given : file;
    const [, theirs] = paired(like, results.filter(isAnswered).filter(isLike));
    if (theirs.length < like.length) {
      notes.push(
        `${name} isn't here: it answered ${theirs.length} of ${counted(like.length, "recording")}`,
      );
      continue;
    }
    agents.push({ name, results: theirs.map((one) => withTurns(one, unitMs)) });
    if (theirs.some(({ basis }) => basis.program !== program)) {
      notes.push(`${name} was answered by another version of this program than the two`);
    }
  }
  return { agents, notes };
}

/** Kept sound. */
export const readSound = async (path: string, ffmpeg: FfmpegFinder): Promise<Float32Array> =>
  (await listen({ path, tracks: defaultTracks }, null, ffmpeg)).sound;
