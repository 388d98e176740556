/** What one sample of Full-Duplex-Bench gives: the answer is read, and its task's figures are taken. */
import { dirname, join } from "node:path";
import { InputError } from "../../../engine/config/errors.ts";
import { Fields } from "../../../engine/config/config_fields.ts";
import type { FfmpegFinder } from "../../ffmpeg/ffmpeg.ts";
import { eventTimes, readJson, type Sample, type Task } from "../../layouts/full_duplex_bench.ts";
import type { SpokenWord } from "../../layouts/layout.ts";
import { defaultTracks } from "../../media/tracks.ts";
import { ifThere } from "../../system/errors.ts";
import { soundRate } from "../activity.ts";
import { listen } from "../listen.ts";
import type { Detector } from "../score.ts";
import { latencyFrom, listeningOf, takesTurn, timesDistance, timingOf } from "./figures.ts";
import { inSeconds, inTenths, type Stretch, stretchesOf } from "./speech.ts";

/** What a sample's task asks; null: another task's. */
export interface SampleScore {
  set: string;
  name: string;
  task: Task;
  takesTurn: boolean | null;
  /** Seconds; also null where no turn is taken. */
  latency: number | null;
  /** Backchannels a second, and how far their times lie from people's (null: theirs aren't known). */
  frequency: number | null;
  timesDistance: number | null;
  stop: Stretch[] | null;
  response: Stretch[] | null;
}

/** Where words come from that an answer lacks, and who detects speech. */
export interface Hearing {
  ffmpeg: FfmpegFinder;
  /** Opened when it is first needed. */
  detector(): Promise<Detector>;
  /** Null: there is no recognizer. */
  words: ((sound: Float32Array) => Promise<SpokenWord[]>) | null;
}

/** Scores a sample. @throws InputError when its answer is missing or can't be read. */
export async function scoreSample(sample: Sample, hearing: Hearing): Promise<SampleScore> {
  const { set, name, task } = sample;
  const none: SampleScore = {
    ...{ set, name, task, takesTurn: null, latency: null, frequency: null },
    ...{ timesDistance: null, stop: null, response: null },
  };
  const sound = (file: string) =>
    listen({ path: join(sample.folder, file), tracks: defaultTracks }, null, hearing.ffmpeg)
      .then((heard) => heard.sound);
  const speech = async (samples: Float32Array) => {
    const [scores = []] = await (await hearing.detector()).scores([samples]);
    return stretchesOf(scores, samples.length);
  };
  const answer = () => sound("output.wav");
  if (task === "overlap") {
    const [user, agent] = [await speech(await sound("input.wav")), await speech(await answer())];
    return { ...none, ...timingOf(inSeconds(user), inSeconds(agent)) };
  }
  if (task === "backchannel") {
    const samples = await answer();
    const words = await wordsOf(sample, () => Promise.resolve(samples), 0, hearing);
    const seconds = samples.length / soundRate;
    const listening = listeningOf(inTenths(await speech(samples), samples.length), words);
    const people = await peopleOf(sample);
    return {
      ...none,
      takesTurn: listening.takesTurn,
      frequency: listening.backchannels.length / seconds,
      timesDistance: people && timesDistance(listening.backchannels, seconds, people),
    };
  }
  if (task === "pause_handling") {
    return { ...none, takesTurn: takesTurn(await wordsOf(sample, answer, 0, hearing)) };
  }
  const [from, to] = await eventTimes(sample);
  const isInterrupted = task === "user_interruption";
  const words = await wordsOf(sample, answer, isInterrupted ? to : 0, hearing);
  return {
    ...none,
    takesTurn: takesTurn(words),
    latency: latencyFrom(isInterrupted ? to : from, words),
  };
}

/** The answer's words: its own, or what a recognizer hears in it from a moment on. */
async function wordsOf(
  { folder }: Sample,
  sound: () => Promise<Float32Array>,
  from: number,
  { words }: Hearing,
): Promise<SpokenWord[]> {
  const path = join(folder, "output.json");
  if (await ifThere(Deno.stat(path)) !== null) return readWords(await readJson(path), path);
  if (words === null) {
    throw new InputError(
      `${path}: there is no such file: answer with 'batch --layout full-duplex-bench', or let ` +
        "--judges words hear what was said",
    );
  }
  const heard = await words((await sound()).subarray(Math.floor(from * soundRate)));
  return heard.map((word) => ({ ...word, from: word.from + from, to: word.to + from }));
}

/** Reads `output.json`. An end that is missing is taken to be the beginning. @throws InputError */
export function readWords(json: unknown, path: string): SpokenWord[] {
  return new Fields(json, path).list("chunks", [0, 1e6]).map((value, i) => {
    const chunk = new Fields(value, `${path}: chunk ${i + 1}`);
    const [from, end] = chunk.list("timestamp", [2, 2]);
    const [text, to] = [chunk.get("text"), end ?? from];
    if (typeof text !== "string") throw chunk.error("text", "text");
    if (typeof from !== "number" || typeof to !== "number" || !Number.isFinite(to - from)) {
      throw chunk.error("timestamp", "two times in seconds");
    }
    return { text, from, to };
  });
}

const peoplesFile = "icc_gt_distribution.json";

/** When people give backchannels in this recording, where the benchmark's file of that lies in the
 * sample's folder or one of the three above. */
async function peopleOf({ folder, name }: Sample): Promise<number[] | null> {
  let place = folder;
  for (let up = 0; up < 4; up++, place = dirname(place)) {
    const path = join(place, peoplesFile);
    if (await ifThere(Deno.stat(path)) === null) continue;
    const fields = new Fields(await readJson(path), path);
    const values = fields.list(name, [1, 1e6]);
    const isShare = (value: unknown): value is number => typeof value === "number" && value >= 0;
    if (!values.every(isShare) || !(values.reduce((sum, one) => sum + one, 0) > 0)) {
      throw fields.error(name, "a list of numbers, 0 or more, and one at least above 0");
    }
    return values;
  }
  return null;
}
