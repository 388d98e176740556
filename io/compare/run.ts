/** Lets one agent answer all recordings of a condition, and keeps what came out as JSON lines: a run
 * that was killed goes on where it was. */
import type { OpenedAgent } from "../agents/agent.ts";
import { evaluate } from "../eval/evaluate.ts";
import type { SharedBasis } from "../eval/figures/basis.ts";
import { EventsFile, eventsSchema, readEvalFile } from "../eval/figures/events_file.ts";
import { type RecordingResult, unflag } from "../eval/figures/recording_result.ts";
import type { Job } from "../eval/jobs.ts";
import { usable } from "../eval/resume.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { spokenWords } from "../layouts/words.ts";
import { streamShapes } from "../media/stream_shape.ts";
import { defaultTracks } from "../media/tracks.ts";
import { WavWriter } from "../media/wav.ts";
import { round } from "../pace/statistics.ts";
import { valueDigest } from "../provenance/digests.ts";
import { provenanceOf, type StartedRun } from "../provenance/provenance.ts";
import { soundRate } from "../score/activity.ts";
import { listen } from "../score/listen.ts";
import { type Detector, scoreSides } from "../score/score.ts";
import { ifThere } from "../system/errors.ts";
import type { Condition } from "./conditions.ts";
import { heardTurns, truthTurns } from "./latency.ts";
import { isJudged } from "./recordings.ts";
import { type Answered, isAnswered } from "./result.ts";
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

/** A name as a file's. */
export const fileName = (name: string) => name.replace(/[^\w.=+-]+/g, "_").slice(-120);

/** The file of an agent's results. */
export const resultsPath = (folder: string, agent: string, condition: string) =>
  `${folder}/${fileName(agent)}.${fileName(condition)}.jsonl`;

/** The kept sound of a side: 16 kHz, mono. `agent` null: the user's. */
export const soundPath = (folder: string, agent: string | null, name: string) =>
  `${folder}/sound/${agent === null ? "user" : fileName(agent)}/${name}.wav`;

/** @returns Results in the order of the jobs; those not reached before the signal are missing. */
export async function answerAll(asked: Asked): Promise<Answered[]> {
  const { agent, jobs, condition, folder, noiseSeed } = asked;
  const { config, settings } = agent;
  const path = resultsPath(folder, agent.name, condition.name);
  const lossy = condition.lossy?.network ?? null;
  const shown = lossy === null ? asked.shown : [];
  const basis: Omit<SharedBasis, "generator"> = {
    checkpoint: agent.checkpointDigest,
    settings: valueDigest({ ...settings, lossy }),
    program: asked.program,
  };
  const there = await ifThere(Deno.stat(path)) !== null;
  const before = there ? await readEvalFile(path) : null;
  const { asked: known, others } = before
    ? usable(before, jobs, [noiseSeed], basis, settings, "another folder to --output")
    : { asked: [], others: [] };
  const earlier = lossy === null
    ? await withSound(known, folder, agent.name, shown)
    : known.filter(isAnswered);
  await Deno.mkdir(folder, { recursive: true });
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
  let work = new WorkMeter(() => agent.processes());
  const results = await evaluate({
    jobs,
    noiseSeeds: [noiseSeed],
    basis,
    earlier,
    config,
    async open(seed, recording) {
      const session = await agent.open(recording, seed);
      work = new WorkMeter(() => agent.processes());
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
      const heard = { user, agent: tap.listened };
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
      if (lossy === null) await keepSound(soundPath(folder, null, recording.name), user.sound);
      if (shown.includes(recording.name)) {
        await keepSound(soundPath(folder, agent.name, recording.name), heard.agent.sound);
      }
      const { seconds: cpuSeconds, peakBytes } = work;
      return { live: { ...tap.live, cpuSeconds, peakBytes, truth, userScores, score } };
    },
    ffmpeg: asked.ffmpeg,
    events,
    quiet: asked.quiet,
    signal: asked.signal,
  });
  return results.filter(isAnswered).map((one) => withTurns(one, config.unit_ms));
}

/** Turns follow from what is kept, so that they are by today's rules. */
function withTurns(result: Answered, unitMs: number): Answered {
  const { active, live } = result;
  const turns = isJudged(live.truth)
    ? truthTurns(live.truth, unflag(active), unitMs)
    : heardTurns(live.score.voice.exchange, active, unitMs);
  return { ...result, live: { ...live, turns } };
}

/** Results that can be used: those with the user's sound, and of a recording that is to be shown, with
 * the agent's. */
async function withSound(
  results: readonly RecordingResult[],
  folder: string,
  agent: string,
  shown: readonly string[],
): Promise<Answered[]> {
  const kept: Answered[] = [];
  for (const result of results) {
    if (!isAnswered(result)) continue;
    const sides = [null, ...(shown.includes(result.name) ? [agent] : [])];
    const paths = sides.map((side) => soundPath(folder, side, result.name));
    const there = await Promise.all(paths.map((path) => ifThere(Deno.stat(path))));
    if (!there.includes(null)) kept.push(result);
  }
  return kept;
}

async function keepSound(path: string, sound: Float32Array): Promise<void> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  const writer = await WavWriter.create(path, soundRate);
  await writer.write(sound).finally(() => writer.close());
}

/** What other agents answered under a condition, of which this folder holds results: by their names. */
export async function othersIn(
  folder: string,
  condition: string,
  but: readonly string[],
): Promise<{ name: string; results: Answered[] }[]> {
  const others: { name: string; results: Answered[] }[] = [];
  const known = new Set(but.map((name) => resultsPath(folder, name, condition)));
  for await (const { name } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (!name.endsWith(`.${fileName(condition)}.jsonl`) || known.has(path)) continue;
    const { header, results } = await readEvalFile(path);
    const agent = header.runs.at(-1)?.checkpoint?.path ?? name;
    const answered = results.filter(isAnswered).map((one) => withTurns(one, header.unitMs));
    others.push({ name: agent, results: answered });
  }
  return others.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Kept sound. */
export const readSound = async (path: string, ffmpeg: FfmpegFinder): Promise<Float32Array> =>
  (await listen({ path, tracks: defaultTracks }, null, ffmpeg)).sound;
