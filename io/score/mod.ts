/**
 * How systems converse, from recordings of both sides: what the command `score` is made of, for scripts.
 *
 * @module
 */
import { Fields } from "../../engine/config/config_fields.ts";
import { InputError } from "../../engine/config/errors.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { localPath } from "../../engine/config/local_path.ts";
import { number, readOptions, type RulesOf, whole } from "../../engine/config/option_rules.ts";
import { ffmpegFinder } from "../ffmpeg/ffmpeg.ts";
import {
  type Conversation,
  findConversations as find,
  type FoundConversations,
} from "../layouts/conversations.ts";
import { figuresOf, type ScoreFigure } from "./figures.ts";
import type { Region } from "./picture.ts";
import { type ConversationScore, type Detector, scoreConversation } from "./score.ts";
import { Silero } from "./silero.ts";

export type { Conversation, FoundConversations, Recorded } from "../layouts/conversations.ts";
export type { SpokenWord } from "../layouts/layout.ts";
export type { TrackChoice } from "../media/tracks.ts";
export type { Interval } from "../eval/figures/estimates.ts";
export { levelScores, type Speech, speechOf } from "./activity.ts";
export type { ScoreFigure } from "./figures.ts";
export type { Level } from "./level.ts";
export type { Freeze, Region, Sync } from "./picture.ts";
export type { ConversationScore, Detector, Heard, Judged } from "./score.ts";
export {
  type Backchannel,
  type BargeIn,
  type Exchange,
  exchangeOf,
  type Side,
  type Turn,
} from "./turns.ts";

/**
 * The conversations in a folder and the folders in it, or of a file whose sound has two channels.
 *
 * @param options FFmpeg's path (FFMPEG_BIN, ffmpeg-static, PATH).
 * @throws InputError when there is none.
 */
export async function findConversations(
  root: string | URL,
  options: { ffmpeg?: string } = {},
): Promise<FoundConversations> {
  const { ffmpeg } = readOptions(options, { ffmpeg: rules.ffmpeg });
  return await find(localPath(root), ffmpegFinder(ffmpeg));
}

/**
 * Opens Silero VAD, which npm's packages hold. One detector scores any number of conversations.
 *
 * @throws RunError when the packages can't be had.
 */
export function openDetector(): Promise<Detector & AsyncDisposable> {
  return Silero.open();
}

/** How a conversation is scored. */
export interface ScoreOptions {
  /** What tells speech: of `openDetector`, or a script's own. */
  detector: Detector;
  /** Seconds by which the agent is heard later than its file says; the conversation's own. */
  delay?: number;
  /** The agent's mouth, edges as parts of width and height; all of the picture. */
  mouth?: Region;
  /** FFmpeg's path (FFMPEG_BIN, ffmpeg-static, PATH). */
  ffmpeg?: string;
}

const edge = number(0, 1);
const rules = {
  detector: { kind: "object" },
  delay: number(0, 60),
  mouth: { keys: { left: edge, top: edge, right: edge, bottom: edge } },
  ffmpeg: { kind: "text" },
} as const satisfies RulesOf<ScoreOptions>;

/** Scores a conversation. @throws InputError when an option is none, or a side can't be read. */
export async function score(
  conversation: Conversation,
  options: ScoreOptions,
): Promise<ConversationScore> {
  const { detector, ffmpeg, ...more } = readOptions(options, rules);
  if (typeof detector?.scores !== "function") {
    throw new InputError(
      `options: detector is ${valueText(detector)}; it may be what openDetector() gives`,
    );
  }
  const fields = new Fields(conversation, "conversation");
  for (const side of ["user", "agent"]) fields.object(side).object("tracks");
  return await scoreConversation(conversation, detector, { ...more, ffmpeg: ffmpegFinder(ffmpeg) });
}

/**
 * The figures of conversations, in the order of the command's table; docs/score.md has their formulas.
 *
 * @param scores What `score` gave. @param options Draws of the bootstrap (1000); 0: no intervals.
 */
export function figures(
  scores: readonly ConversationScore[],
  options: { draws?: number } = {},
): ScoreFigure[] {
  const { draws = 1000 } = readOptions(options, { draws: whole(0, 100_000) });
  const isScore = (one: unknown) => typeof one === "object" && one !== null && "voice" in one;
  if (!Array.isArray(scores) || scores.some((one) => !isScore(one))) {
    throw new InputError(`scores: is ${valueText(scores)}; it may be a list of what score() gives`);
  }
  return figuresOf(scores, draws);
}
