/** Conversations of any system in files and folders: who is heard where. */
import { basename, dirname, extname, isAbsolute, join } from "node:path";
import { Fields } from "../../engine/config/config_fields.ts";
import { errorText } from "../../engine/config/error_text.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { probe } from "../ffmpeg/ffmpeg_probe.ts";
import { defaultTracks, type TrackChoice } from "../media/tracks.ts";
import { readWavHeader } from "../media/wav.ts";
import { ifThere, readError } from "../system/errors.ts";
import type { SpokenWord } from "./layout.ts";
import { spokenWords } from "./words.ts";

/** A side in a file. */
export interface Recorded {
  /** The file. */
  path: string;
  /** What of the file it is. */
  tracks: TrackChoice;
}

/** Two sides on one clock. */
export interface Conversation {
  /** Its path below the folder that was searched. */
  name: string;
  /** How it was found; `replay` is also an item of a batch. */
  kind: "pair" | "channels" | "replay";
  /** Where the user is heard. */
  user: Recorded;
  /** Where the agent is heard and seen. */
  agent: Recorded;
  /** Seconds by which the agent is heard later than its file says: of a replay one unit, because a
   * unit's answer begins when the whole unit was heard. */
  delay: number;
  /** The agent's own words on its file's clock; null: it gave none. */
  words: SpokenWord[] | null;
}

/** What a folder holds. */
export interface FoundConversations {
  /** Sorted by the folders' names. */
  conversations: Conversation[];
  /** What can't be scored, and why. */
  leftOut: string[];
}

/** Names of two sides that stand beside each other. */
const pairs = [["user", "agent"], ["input", "output"]] as const;

const mediaExtension = /^\.(wav|flac|mp3|m4a|aac|ogg|opus|mkv|mka|mp4|mov|webm|nut|ts)$/i;

const isMedia = (name: string) => mediaExtension.test(extname(name));

/** Deepest folder below the one that is searched. */
const deepest = 8;

/** Largest file of events that is read for its words, in bytes: some ten hours of stream. */
const largestEvents = 2 ** 28;

/**
 * Finds the conversations in a folder and the folders in it, sorted by name: `user.*` beside `agent.*`,
 * `input.*` beside `output.*`, replays (an events file that names recording and response), items of a
 * batch (`done.json`), and in folders without any of these each file whose sound has two channels, the
 * user left and the agent right. A file is a conversation of two channels.
 *
 * @throws InputError when there is none.
 */
export async function findConversations(
  root: string,
  ffmpeg: FfmpegFinder,
): Promise<FoundConversations> {
  const info = await Deno.stat(root).catch((error) => {
    throw readError(root, error);
  });
  const found: FoundConversations = { conversations: [], leftOut: [] };
  if (info.isDirectory) await search(root, "", found, ffmpeg, 0);
  else {
    const problem = await whyNoFile(root) ?? await whyNotTwo(root, ffmpeg);
    if (problem !== null) throw new InputError(`${root}: ${problem}`);
    found.conversations.push(channels(root, basename(root)));
  }
  if (found.conversations.length === 0) {
    const [first, ...others] = found.leftOut;
    const more = others.length > 0 ? `, and ${others.length} more` : "";
    throw new InputError(
      `${root}: holds no conversation: no user.* beside agent.*, input.* beside output.*, replay, batch, ` +
        `or sound of two channels${first === undefined ? "" : ` (${first}${more})`}`,
    );
  }
  return found;
}

async function search(
  root: string,
  below: string,
  found: FoundConversations,
  ffmpeg: FfmpegFinder,
  depth: number,
): Promise<void> {
  const folder = join(root, below);
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch((error) => {
    throw readError(folder, error);
  });
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  const before = found.leftOut.length;
  const names: string[] = [];
  for (const { name, isDirectory } of entries) {
    if (isDirectory || !(isMedia(name) || /\.jsonl?$/.test(name))) continue;
    const problem = await whyNoFile(join(folder, name));
    if (problem === null) names.push(name);
    else found.leftOut.push(`${join(below, name)}: ${problem}`);
  }
  const here = await inFolder(folder, below, names, found.leftOut);
  if (here.length === 0 && found.leftOut.length === before) {
    for (const name of names.filter(isMedia)) {
      const problem = halfPair(name) ?? await whyNotTwo(join(folder, name), ffmpeg);
      if (problem === null) here.push(channels(join(folder, name), join(below, name)));
      else found.leftOut.push(`${join(below, name)}: ${problem}`);
    }
  }
  found.conversations.push(...here);
  // Hidden folders are programs' own.
  const folders = entries.filter(({ name, isDirectory }) => isDirectory && !name.startsWith("."));
  for (const { name } of folders) {
    const inside = join(below, name);
    if (depth < deepest) {
      await search(root, inside, found, ffmpeg, depth + 1).catch((error) => {
        if (!(error instanceof InputError)) throw error;
        found.leftOut.push(error.message);
      });
    } else found.leftOut.push(`${inside}: is more than ${deepest} folders deep`);
  }
}

/** Why an entry can't be read as a file (a pipe would be waited for); null: it can. */
async function whyNoFile(path: string): Promise<string | null> {
  try {
    return (await Deno.stat(path)).isFile ? null : "is no file: save its content to one";
  } catch (error) {
    const why = readError(path, error);
    if (!(why instanceof InputError)) throw why;
    return why.message.replace(`${path}: `, "");
  }
}

/** What a folder's own files are, but for single files of two channels. */
async function inFolder(
  folder: string,
  below: string,
  names: readonly string[],
  leftOut: string[],
): Promise<Conversation[]> {
  const name = below || basename(folder);
  const found: Conversation[] = [];
  for (const [user, agent] of pairs) {
    const [one, other] = [mediaOf(names, user), mediaOf(names, agent)];
    if (one === null || other === null) continue;
    found.push({
      ...{ name, kind: "pair", delay: 0, words: null },
      user: whole(join(folder, one)),
      agent: whole(join(folder, other)),
    });
  }
  const isItem = names.includes("done.json") || names.includes("error.json");
  const events = names.filter((one) => one.endsWith(".jsonl"));
  for (const file of events) {
    try {
      const replay = await replayOf(join(folder, file));
      if (replay === null) continue;
      found.push({ ...replay, name: isItem || events.length === 1 ? name : join(below, file) });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      leftOut.push(error.message);
    }
  }
  if (names.includes("error.json")) leftOut.push(`${name}: ${await failureOf(folder)}`);
  return found;
}

/** Why a batch didn't answer an item. */
async function failureOf(folder: string): Promise<string> {
  const path = join(folder, "error.json");
  const why = parsed(await Deno.readTextFile(path), path)?.get("message");
  return `its item of the batch failed${typeof why === "string" ? ` (${errorText(why)})` : ""}`;
}

/** The file of this name; where there are several, one with a picture. */
function mediaOf(names: readonly string[], stem: string): string | null {
  const found = names.filter((name) =>
    name.startsWith(`${stem}.`) && mediaExtension.test(name.slice(stem.length))
  );
  return found.find((name) => !/\.wav$/i.test(name)) ?? found[0] ?? null;
}

/** Why a file isn't a conversation by its name: the other side of it is missing; null: it may be one. */
function halfPair(name: string): string | null {
  const stem = basename(name, extname(name));
  const [user, agent] = pairs.find((pair) => pair.some((one) => one === stem)) ?? [];
  return user === undefined ? null : `there is no ${stem === user ? agent : user}.* beside it`;
}

const whole = (path: string): Recorded => ({ path, tracks: defaultTracks });

function channels(path: string, name: string): Conversation {
  const side = (channel: "left" | "right"): Recorded => ({
    path,
    tracks: { ...defaultTracks, channel },
  });
  return {
    ...{ name, kind: "channels", delay: 0, words: null },
    user: side("left"),
    agent: side("right"),
  };
}

/** Why a file isn't a conversation of two channels; null: it is one. */
async function whyNotTwo(path: string, ffmpeg: FfmpegFinder): Promise<string | null> {
  try {
    const header = /\.wav$/i.test(path) ? await readWavHeader(path) : null;
    const count = header?.channels ?? (await probe(await ffmpeg(), path)).audio?.channels ?? 0;
    if (count === 2) return null;
    return `its sound has ${count} channel${
      count === 1 ? "" : "s"
    }: two are needed, user and agent`;
  } catch (error) {
    if (!(error instanceof InputError) && !(error instanceof Deno.errors.NotFound)) throw error;
    return errorText(error).replace(`${path}: `, "");
  }
}

/** The conversation that an events file tells of; null: it is another file of JSON lines. */
async function replayOf(path: string): Promise<Omit<Conversation, "name"> | null> {
  const { size } = await Deno.stat(path);
  if (size > largestEvents) throw new InputError(`${path}: has ${size} bytes: too many to read`);
  const lines = (await Deno.readTextFile(path)).split("\n").filter((line) => line !== "");
  const header = parsed(lines[0], path);
  if (header?.get("type") !== "header" || header.get("schema") !== "wanstream/events/2") {
    return null;
  }
  if ((header.get("input") ?? null) === null) return null;
  const summary = parsed(lines.at(-1), path);
  if (summary?.get("type") !== "summary") {
    throw new InputError(`${path}: has no summary: its replay didn't end`);
  }
  const input = header.object("input");
  const response = summary.object("outputs").get("response");
  if (typeof response !== "string") return null;
  const unitMs = header.object("stream").number("unitMs", [1, 10_000]);
  const spoken = lines.slice(1, -1).flatMap((line) => {
    const event = parsed(line, path);
    const [unit, text] = [event?.get("unit"), event?.get("text")];
    return typeof unit === "number" && typeof text === "string" && text !== ""
      ? [{ unit, text }]
      : [];
  });
  return {
    kind: "replay",
    user: { path: await placeOf(input.get("path"), path), tracks: takenOf(input) },
    // A folder that was moved has its answer with it.
    agent: whole(await placeOf(basename(response), path).catch(() => placeOf(response, path))),
    delay: unitMs / 1000,
    words: spokenWords(spoken, unitMs),
  };
}

/** A line of JSON; null: it holds no object. */
function parsed(line: string | undefined, path: string): Fields | null {
  try {
    return new Fields(JSON.parse(line ?? ""), path);
  } catch {
    return null;
  }
}

/** The track of sound that a replay took. */
function takenOf(input: Fields): TrackChoice {
  const tracks = input.object("tracks");
  if ((tracks.get("audio") ?? null) === null) return { ...defaultTracks, video: "none" };
  const audio = tracks.object("audio");
  const channel = audio.get("channel");
  return {
    audio: audio.whole("number", [1, 9999]),
    video: "none",
    channel: channel === "left" || channel === "right" || typeof channel === "number"
      ? channel
      : "mix",
  };
}

/** A file that an events file names: as it is written, below the events file's folder, or beside it. */
async function placeOf(named: unknown, events: string): Promise<string> {
  if (typeof named !== "string" || named === "") {
    throw new InputError(`${events}: names no recording`);
  }
  const folder = dirname(events);
  const places = [named, ...(isAbsolute(named) ? [] : [join(folder, named)])]
    .concat(join(folder, basename(named)));
  for (const place of places) if ((await ifThere(Deno.stat(place)))?.isFile) return place;
  throw new InputError(`${events}: names ${named}, which isn't there: bring it back`);
}
