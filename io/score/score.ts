/** Scores one conversation: reads both sides, finds who speaks when, and measures what happens. */
import { listen, type Listened, wholePicture } from "./listen.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import type { Conversation } from "../layouts/conversations.ts";
import type { SpokenWord } from "../layouts/layout.ts";
import { levelScores, soundRate, type Speech, speechOf } from "./activity.ts";
import { type Level, levelOf } from "./level.ts";
import { type Freeze, freezeOf, type Region, type Sync, syncOf } from "./picture.ts";
import { type Exchange, exchangeOf, type Side } from "./turns.ts";

/** A detector of voice activity: a score per window of 512 samples at 16 kHz. */
export interface Detector {
  /** Scores of each sound's windows, 0 to 1, the last one filled up with silence. */
  scores(sounds: readonly Float32Array[]): Promise<Float32Array[]>;
}

/** Who speaks when, and what follows from it. */
export interface Heard {
  /** In order, each side's. */
  speech: Record<Side, Speech[]>;
  /** Turns, barge-ins, ... */
  exchange: Exchange;
}

/** What other programs judged of a side; null: they weren't asked, or had too little to go by. */
export interface Judged {
  /** In order. */
  words: SpokenWord[] | null;
  /** Mean opinion score of the whole (DNSMOS P.835), 1 to 5. */
  quality: number | null;
  /** How alike the voice is over its length: mean cosine similarity, -1 to 1. */
  constancy: number | null;
}

/** Judges a side. @param sound Mono, 16 kHz. */
export type Judge = (sound: Float32Array, speech: readonly Speech[]) => Promise<Judged>;

/** What came out of a conversation. */
export interface ConversationScore {
  /** The conversation's. */
  name: string;
  /** How it was found. */
  kind: Conversation["kind"];
  /** The sides' files. */
  paths: Record<Side, string>;
  /** Its length. */
  seconds: number;
  /** Seconds by which the agent is heard later than its file says. */
  delay: number;
  /** By the detector. */
  voice: Heard;
  /** The same by level alone. */
  level: Heard;
  /** How loud the sides speak. */
  levels: Record<Side, Level>;
  /** Of the agent; null: it has no picture, or nothing moves. */
  sync: Sync | null;
  /** The same of how long it stands still. */
  freeze: Freeze | null;
  /** What other programs said; the agent's words may be its own. */
  judged: Record<Side, Judged>;
}

export interface ScoreOptions {
  ffmpeg: FfmpegFinder;
  /** Seconds by which agents are heard later than their files say; each conversation's own. */
  delay?: number | undefined;
  /** The part of the agent's picture whose motion is held against its voice: all of it. */
  mouth?: Region | undefined;
  judge?: Judge | undefined;
}

const unjudged: Judged = { words: null, quality: null, constancy: null };

/** Scores a conversation. @throws InputError when a side can't be read. */
export async function scoreConversation(
  conversation: Conversation,
  detector: Detector,
  { ffmpeg, delay = conversation.delay, mouth = wholePicture, judge }: ScoreOptions,
): Promise<ConversationScore> {
  const { user, agent } = conversation;
  const heard = {
    user: await listen(user, null, ffmpeg),
    agent: await listen(agent, mouth, ffmpeg),
  };
  return await scoreSides(conversation, heard, detector, { delay, judge });
}

/** Scores a conversation whose sides are in memory; its sound at 16 kHz. */
export async function scoreSides(
  { name, kind, user, agent, words, delay: ownDelay }: Conversation,
  heard: Record<Side, Listened>,
  detector: Detector,
  { delay = ownDelay, judge }: Pick<ScoreOptions, "delay" | "judge"> = {},
): Promise<ConversationScore> {
  const sound = { user: heard.user.sound, agent: heard.agent.sound };
  const seconds = Math.max(
    sound.user.length / soundRate,
    sound.agent.length / soundRate + delay,
  );
  const own = speechIn(sound, await detector.scores([sound.user, sound.agent]));
  const quiet = speechIn(sound, [levelScores(sound.user), levelScores(sound.agent)]);
  const judged = {
    user: await judge?.(sound.user, own.user) ?? unjudged,
    agent: await judge?.(sound.agent, own.agent) ?? unjudged,
  };
  const { motion } = heard.agent;
  return {
    ...{ name, kind, seconds, delay },
    paths: { user: user.path, agent: agent.path },
    voice: heardLater(own, delay, seconds),
    level: heardLater(quiet, delay, seconds),
    levels: { user: levelOf(sound.user, own.user), agent: levelOf(sound.agent, own.agent) },
    sync: motion && syncOf(motion, sound.agent),
    freeze: motion && freezeOf(motion, own.agent),
    judged: {
      user: judged.user,
      agent: {
        ...judged.agent,
        words: (words ?? judged.agent.words)?.map(({ text, from, to }) => ({
          text,
          from: from + delay,
          to: to + delay,
        })) ?? null,
      },
    },
  };
}

/** Speech of both sides, each on its file's clock. */
function speechIn(
  sound: Record<Side, Float32Array>,
  [user = new Float32Array(), agent = new Float32Array()]: Float32Array[],
): Record<Side, Speech[]> {
  return {
    user: speechOf(user, sound.user.length / soundRate),
    agent: speechOf(agent, sound.agent.length / soundRate),
  };
}

/** Both sides as they are heard. */
function heardLater(own: Record<Side, Speech[]>, delay: number, seconds: number): Heard {
  const agent = own.agent.map(({ from, to }) => ({ from: from + delay, to: to + delay }));
  const speech = { user: own.user, agent };
  return { speech, exchange: exchangeOf(speech, seconds) };
}
