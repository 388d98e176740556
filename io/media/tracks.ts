/**
 * Which tracks of an input are taken, and what of the sound's channels: one choice, made here for
 * recordings, streams, their probe and the side-by-side picture.
 */
import { InputError } from "../../engine/config/errors.ts";
import { valueText } from "../../engine/config/error_text.ts";
import type { Option, Parsed } from "../cli/options.ts";

/** The options' declarations. */
export const trackOptions = {
  "audio-track": {
    onResume: "fixed",
    kind: "text",
    value: "N",
    help: "the Nth track of sound, or none (default)",
  },
  "video-track": {
    onResume: "fixed",
    kind: "text",
    value: "N",
    help: "the Nth track of pictures, or none (default)",
  },
  "audio-channel": {
    onResume: "fixed",
    kind: "text",
    value: "CHANNEL",
    help: "left, right, a number from 1 on, or mix: the channels mixed to one (mix)",
  },
} as const satisfies Record<string, Option>;

/** What is taken. Tracks and channels count from 1; "default" is the container's own choice. */
export interface TrackChoice {
  /** The track of sound. */
  audio: number | "default" | "none";
  /** The track of pictures. */
  video: number | "default" | "none";
  /** What of the sound's channels. */
  channel: "mix" | "left" | "right" | number;
}

/** What is taken where nothing else was asked for. */
export const defaultTracks: TrackChoice = { audio: "default", video: "default", channel: "mix" };

/** Reads the options. @throws InputError */
export function chooseTracks(
  options: Partial<Parsed<typeof trackOptions>["options"]>,
): TrackChoice {
  const track = (name: "audio-track" | "video-track"): TrackChoice["audio"] => {
    const { [name]: value = "default" } = options;
    if (value === "default" || value === "none") return value;
    return numbered(name, value, "a number from 1 on, none or default");
  };
  const { "audio-channel": channel = "mix" } = options;
  const named = channel === "mix" || channel === "left" || channel === "right";
  const [audio, video] = [track("audio-track"), track("video-track")];
  if (audio === "none" && video === "none") {
    throw new InputError("--audio-track none and --video-track none: nothing is left: drop one");
  }
  return {
    audio,
    video,
    channel: named
      ? channel
      : numbered("audio-channel", channel, "left, right, mix or a number from 1 on"),
  };
}

function numbered(name: string, value: string, allowed: string): number {
  if (/^[1-9]\d{0,3}$/.test(value)) return Number(value);
  throw new InputError(`--${name}: ${valueText(value)} should be ${allowed}`);
}

/** A track of sound or pictures, as its container describes it. */
export interface Track {
  kind: "audio" | "video";
  /** Among the tracks of its kind, from 1 on. */
  number: number;
  /** The container names it as the one to take. */
  isDefault: boolean;
  /** Null: FFmpeg doesn't know it. */
  codec: string | null;
  language: string | null;
  title: string | null;
  /** Of sound; null when it isn't known, or for pictures. */
  channels: number | null;
}

/** A track as the header event names it. */
export interface TrackFacts {
  /** The track's number among the tracks of its kind. */
  number: number;
  /** How many tracks of its kind there are. */
  of: number;
  /** FFmpeg's name of its coding. */
  codec: string | null;
  /** As the container says. */
  language: string | null;
  /** As the container says. */
  title: string | null;
  /** Of sound: how many it has. */
  channels?: number | null;
  /** Of the sound: what was taken. */
  channel?: TrackChoice["channel"];
}

/** The tracks that are taken of an input. */
export interface TakenTracks<T extends Track> {
  video: T | null;
  audio: T | null;
  /** Index of the channel that is taken; null: all are mixed. */
  channel: number | null;
  /** The same for the header event. */
  facts: TakenFacts;
}

/** Whether there are pictures and sound, and which tracks they are. */
export interface TakenFacts {
  /** There are pictures. */
  video: boolean;
  /** There is sound. */
  audio: boolean;
  /** The tracks that are taken. */
  tracks: { video: TrackFacts | null; audio: TrackFacts | null };
}

/**
 * Chooses among an input's tracks.
 *
 * @throws InputError when there is no such track or channel, FFmpeg can't decode it, or none is left.
 */
export function takenTracks<T extends Track>(
  path: string,
  tracks: readonly T[],
  choice: TrackChoice,
): TakenTracks<T> {
  const video = takenTrack(path, tracks, "video", choice);
  const audio = takenTrack(path, tracks, "audio", choice);
  if (video === null && audio === null) {
    const what = choice.video === "none"
      ? "no sound"
      : choice.audio === "none"
      ? "no picture"
      : "neither sound nor picture";
    throw new InputError(`${path}: holds ${what} that can be decoded`);
  }
  const facts = (track: Track | null) => track && trackFacts(track, tracks, choice);
  return {
    video,
    audio,
    channel: audio && channelIndex(path, choice.channel, audio.channels),
    facts: {
      video: video !== null,
      audio: audio !== null,
      tracks: { video: facts(video), audio: facts(audio) },
    },
  };
}

/**
 * The track of a kind that is taken: the one asked for, else the first of the container's defaults,
 * else the first.
 *
 * @returns null when there is none, or none was asked for.
 * @throws InputError when there is no such track or channel, or FFmpeg can't decode it.
 */
function takenTrack<T extends Track>(
  path: string,
  tracks: readonly T[],
  kind: Track["kind"],
  choice: TrackChoice,
): T | null {
  const asked = choice[kind];
  const all = tracks.filter((track) => track.kind === kind);
  if (asked === "none") return null;
  const track = asked === "default"
    ? all.find(({ isDefault }) => isDefault) ?? all[0]
    : all.find(({ number }) => number === asked);
  const name = kind === "audio" ? "sound" : "picture";
  if (track === undefined) {
    if (asked === "default") return null;
    const there = all.map(trackName).join("; ") || "none";
    throw new InputError(`${path}: holds no track ${asked} of ${name}: its tracks are: ${there}`);
  }
  if (track.codec === null) {
    const others = all.filter(({ codec }) => codec !== null).map(({ number }) => `${number}`);
    throw new InputError(
      `${path}: track ${track.number} of its ${name} is coded in a way that this FFmpeg can't decode: ` +
        `convert it, or add --${kind}-track ${[...others, "none"].join(" or ")}`,
    );
  }
  return track;
}

/** E.g. "2 (eng, aac, 6 channels, Commentary)". */
function trackName({ number, language, codec, channels, title }: Track): string {
  const sound = channels === null ? null : `${channels} channel${channels === 1 ? "" : "s"}`;
  const known = [language, codec, sound, title].filter((part) => part !== null);
  return `${number}${known.length > 0 ? ` (${known.join(", ")})` : ""}`;
}

/**
 * The index of the channel that is taken; null: all of them are mixed.
 *
 * @param channels How many there are; null when that isn't known.
 * @throws InputError when there is no such channel.
 */
function channelIndex(
  path: string,
  channel: TrackChoice["channel"],
  channels: number | null,
): number | null {
  if (channel === "mix") return null;
  const named = typeof channel === "string";
  const index = channel === "left" ? 0 : channel === "right" ? 1 : channel - 1;
  const fewest = named ? 2 : index + 1;
  if (channels !== null && channels < fewest) {
    throw new InputError(
      `${path}: its sound has ${channels} channel${channels === 1 ? "" : "s"}, ` +
        `so that --audio-channel ${channel} can't be taken: choose another`,
    );
  }
  return index;
}

function trackFacts(track: Track, tracks: readonly Track[], choice: TrackChoice): TrackFacts {
  const { kind, number, codec, language, title, channels } = track;
  const of = tracks.filter((other) => other.kind === kind).length;
  const facts = { number, of, codec, language, title };
  return kind === "audio" ? { ...facts, channels, channel: choice.channel } : facts;
}
