/** Settings of turns that frameworks ship, read in their sources in August 2026. */
import type { TurnSettings } from "./turns.ts";

/**
 * LiveKit Agents (commit da6af86). Activity: livekit-plugins-silero/vad.py: score 0.5 to begin, 0.35 to
 * go on, smoothed with weight 0.35, 0.05 s to begin, 0.55 s to end. Barge-in: voice/turn.py,
 * `min_duration` 0.5 s, described as the least length of speech; voice/agent_activity.py: words of
 * speech that is shorter interrupt when they are read (`min_words` is 0), and after a false interruption,
 * one without words, the agent goes on 2 s after the activity's end, here 0.55 + 2 s of silence. With
 * voice activity alone the turn ends where the activity does, because `min_delay` (0.5 s since speech)
 * has passed by then: as a silence timer, 0.55.
 */
const livekit: TurnSettings = {
  threshold: 0.5,
  release: 0.35,
  smoothing: 0.35,
  start: 0.05,
  stop: 0.55,
  bargeIn: 0.5,
  bargeInCounts: "speech",
  short: "read",
  resume: 2.55,
  unasked: 10,
};

/**
 * The same in one point as its code runs, not as it is described: voice/agent_activity.py compares
 * `min_duration` with a length that grows through the silence up to the activity's end, so that a sound
 * of 0.1 s stops the agent after 0.5 s.
 */
const livekitLiteral: TurnSettings = { ...livekit, bargeInCounts: "activity" };

/**
 * Pipecat (commit acead05). Activity: audio/vad/vad_analyzer.py: confidence 0.7, 0.2 s to begin and to
 * end, which it rounds to 6 windows (0.192 s); its least volume of 0.6 is left out. Barge-in:
 * turns/user_start/vad_user_turn_start_strategy.py: a turn begins with the activity, whatever the agent
 * does, and stops it at once; nothing is resumed. Its turns end by Smart Turn, asked where the activity
 * ends, or after 3 s of silence (audio/turn/smart_turn/base_smart_turn.py); without it 0.6 s after the
 * activity's end (speech_timeout_user_turn_stop_strategy.py).
 */
const pipecat: TurnSettings = {
  threshold: 0.7,
  release: 0.7,
  smoothing: 0,
  start: 0.192,
  stop: 0.192,
  bargeIn: 0.192,
  bargeInCounts: "speech",
  short: "read",
  resume: 0,
  unasked: 10,
};

/** Settings by name. `unasked` is this world's, in no framework. */
export const presets = { livekit, "livekit-literal": livekitLiteral, pipecat } as const;
export type PresetName = keyof typeof presets;
