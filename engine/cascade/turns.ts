/**
 * Turn logic of a cascade: from the scores of voice activity to turns and barge-ins. Pure: it knows
 * neither sound nor clock, so that settings can be swept over scores that were computed once.
 */
import { choice, number, type RulesOf, whole } from "../config/option_rules.ts";
import type { EndOfTurn } from "./parts.ts";

/** Seconds of a window of voice activity: 512 samples at 16 kHz, five in a unit of 160 ms. */
export const windowSeconds = 0.032;

/** When the user speaks, and when the agent falls silent for it. Times are seconds. */
export interface TurnSettings {
  /** Score from which on a window is speech, 0 to 1. */
  threshold: number;
  /** The same while the user speaks, at most `threshold`. */
  release: number;
  /** Weight of the smoothed score before in each smoothed score; 0: scores are taken as they are. */
  smoothing: number;
  /** Speech without a gap that begins the user's speech. */
  start: number;
  /** Windows without speech that end it; gaps that are shorter belong to it. */
  stop: number;
  /** The user's speech that stops the agent while it speaks, from the beginning of its first window to
   * the end of its last. */
  bargeIn: number;
  /** `activity`: silence within `stop` counts towards `bargeIn` too. */
  bargeInCounts: "speech" | "activity";
  /** A turn that the agent spoke all through and that was shorter than `bargeIn` (a 'mhm', a noise):
   * `ignored`, or `read`: where it has words the agent stops, and answers them. */
  short: "ignored" | "read";
  /** After a barge-in in which no word was read the agent goes on with what it had not said, when the
   * user was silent for so long; 0: it doesn't. */
  resume: number;
  /** Units of silence after which a card that was not talked about is named; 0: never. */
  unasked: number;
}

/** What settings may be. */
export const turnRules = {
  threshold: number(0, 1),
  release: number(0, 1),
  smoothing: number(0, 0.99),
  start: number(0, 10),
  stop: number(0, 10),
  bargeIn: number(0, 60),
  bargeInCounts: choice(["speech", "activity"]),
  short: choice(["ignored", "read"]),
  resume: number(0, 60),
  unasked: whole(0, 10_000),
} as const satisfies RulesOf<TurnSettings>;

/** What one unit of scores says. */
export interface Signs {
  /** The user's speech began: its first `start` seconds are complete. */
  began: boolean;
  /** The user's speech ended: `stop` seconds without speech are complete. */
  ended: boolean;
  /** Between the two, at the end of the unit. */
  isSpeaking: boolean;
  /** Seconds from the end of the last window of speech to the end of the unit; Infinity before the
   * first. Windows that may begin speech count as speech. */
  silence: number;
  /** The turn is open, and its silence has lasted so long that its end is to be asked for. */
  asks: boolean;
  /** It is the first time since the user spoke. */
  isFirst: boolean;
  /** The agent is to stop. */
  bargeIn: boolean;
  /** The user went on before the agent's first unit since `over()` was played: the turn that was over
   * goes on. */
  resumed: boolean;
}

/** A turn of the user. */
export interface Turn {
  /** Seconds of the stream: where its first window of speech begins, and where its last one ends. */
  begin: number;
  end: number;
  /** The agent spoke all through it, and it didn't stop the agent; never so where it was resumed. */
  isShort: boolean;
}

/** What is below this is rounding of seconds, not time. */
const tolerance = 1e-6;

/**
 * The user's turns, window by window.
 *
 * A turn begins with `start` seconds of speech without a gap. It stays open, through silences of any
 * length, until `over()` is called; whether it is over is asked for at the end of each unit in which its
 * silence has lasted `after` seconds. Silence is counted in windows from the end of the last window of
 * speech, whatever `stop` is: with `after` 0.5 the end is asked for in the first unit that ends half a
 * second or more after the user's last window of speech. Below `stop` that is while the activity
 * still counts as speech: the windows alone decide.
 */
export class Turns {
  readonly #settings: TurnSettings;
  readonly #after: number;
  #score: number | undefined;
  /** Windows so far. */
  #now = 0;
  /** `tail`: the turn was over while its last window was speech; what follows without a gap isn't a
   * new one. */
  #state: "quiet" | "starting" | "speaking" | "tail" = "quiet";
  /** The window with which the current speech began, and the one after its last. */
  #begin = 0;
  #end = -Infinity;
  #turn: { begin: number; alone: boolean; bargedIn: boolean } | null = null;
  /** The end was asked for since the user spoke. */
  #asked = false;
  /** Windows up to which the user may go on with the turn that was over. */
  #until = -Infinity;

  /** @param after Seconds of silence from which on the end of a turn is asked for. */
  constructor(settings: TurnSettings, after: number = settings.stop) {
    this.#settings = settings;
    this.#after = after;
  }

  /** A turn is open. */
  get isOpen(): boolean {
    return this.#turn !== null;
  }

  /** Seconds of the stream at which the open turn began; null: none is open. */
  get begin(): number | null {
    return this.#turn && this.#turn.begin * windowSeconds;
  }

  /** Seconds of the stream so far. */
  get now(): number {
    return this.#now * windowSeconds;
  }

  /**
   * Takes the scores of one unit.
   *
   * @param isAgentSpeaking The agent has words left when the unit arrives, or their sound isn't over.
   */
  push(scores: ArrayLike<number>, isAgentSpeaking: boolean): Signs {
    const { smoothing, threshold, release, start, stop } = this.#settings;
    const signs = { began: false, ended: false, bargeIn: false, resumed: false };
    for (let i = 0; i < scores.length; i++) {
      const score = scores[i] ?? 0;
      this.#score = smoothing * (this.#score ?? score) + (1 - smoothing) * score;
      const isSpeech = this.#score >= (this.#state === "speaking" ? release : threshold);
      this.#now++;
      if (!isSpeech) {
        if (this.#state === "starting" || this.#state === "tail") this.#state = "quiet";
        else if (this.#state === "speaking" && reaches(this.#now - this.#end, stop)) {
          this.#state = "quiet";
          signs.ended = true;
        }
        if (this.#bargesIn(isAgentSpeaking, false)) signs.bargeIn = true;
        continue;
      }
      if (this.#state === "tail") continue;
      if (this.#state === "quiet") {
        this.#state = "starting";
        this.#begin = this.#now - 1;
      }
      if (this.#state === "starting" && reaches(this.#now - this.#begin, start)) {
        this.#state = "speaking";
        signs.began = true;
        if (!this.#turn) {
          signs.resumed = this.#begin < this.#until;
          this.#turn = { begin: this.#begin, alone: signs.resumed, bargedIn: false };
        }
      }
      if (this.#state !== "speaking") continue;
      this.#end = this.#now;
      this.#asked = false;
      if (this.#turn && !isAgentSpeaking) this.#turn.alone = true;
      if (this.#bargesIn(isAgentSpeaking, true)) signs.bargeIn = true;
    }
    // What may become speech counts as speech until it is known.
    const silence = this.#state === "starting" ? 0 : (this.#now - this.#end) * windowSeconds;
    const asks = this.#turn !== null && silence > this.#after - tolerance;
    const isFirst = asks && !this.#asked;
    this.#asked ||= asks;
    return { ...signs, isSpeaking: this.#state === "speaking", silence, asks, isFirst };
  }

  /** The open turn is over, at the end of the unit that was pushed last.
   *
   * @param unitWindows Windows of a unit: in the next one the agent's first unit is played.
   * @throws Error when none is open. */
  over(unitWindows = 5): Turn {
    if (!this.#turn) throw new Error("over(): no turn of the user is open");
    const { begin, alone, bargedIn } = this.#turn;
    this.#turn = null;
    this.#state = this.#end === this.#now ? "tail" : "quiet";
    const isShort = !alone && !bargedIn;
    // What is ignored has no answer that could be dropped.
    const isIgnored = isShort && this.#settings.short === "ignored";
    this.#until = isIgnored ? -Infinity : this.#now + unitWindows;
    return { begin: begin * windowSeconds, end: this.#end * windowSeconds, isShort };
  }

  /** The agent is to stop at this window: once in a turn. */
  #bargesIn(isAgentSpeaking: boolean, isSpeech: boolean): boolean {
    const { bargeIn, bargeInCounts } = this.#settings;
    if (!isAgentSpeaking || !this.#turn || this.#turn.bargedIn) return false;
    if (this.#state !== "speaking" || !(isSpeech || bargeInCounts === "activity")) return false;
    return this.#turn.bargedIn = reaches(this.#now - this.#begin, bargeIn);
  }
}

/** The turn is over when the user was silent for so many seconds. */
export function silenceTimer(seconds: number): EndOfTurn {
  return { after: seconds, isOver: () => true };
}

/** So many windows last so many seconds or more. */
function reaches(windows: number, seconds: number): boolean {
  return windows * windowSeconds > seconds - tolerance;
}
