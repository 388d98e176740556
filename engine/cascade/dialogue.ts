/** What a cascade does in one unit: its modules in their order, and what it knows of the conversation. */
import { errorText } from "../config/error_text.ts";
import { InputError } from "../config/errors.ts";
import type { GivenObservation } from "../checkpoint/given.ts";
import type { StreamShape } from "../checkpoint/unit.ts";
import type { CascadeResponse, ModuleName, Parts, TraceEntry } from "./parts.ts";
import { type Signs, type Turn, Turns, type TurnSettings, windowSeconds } from "./turns.ts";

/** Mean absolute difference of two frames, of 255, from which on the picture has changed. Another card
 * makes 13 or more, a face that moves 5, seldom 10: a look too many costs its time only. */
const changed = 8;
/** Units for which a new picture holds before it is looked at: the reader sees cards better by then. */
const settling = 3;
/** Seconds of sound that the end of a turn is decided by, and what belongs to them before its speech. */
const longestSound = 8, beforeSpeech = 0.5;

/** One unit's times and decisions. */
class Unit {
  readonly modules: CascadeResponse["modules"] = {
    activity: 0,
    endOfTurn: 0,
    read: 0,
    look: 0,
    answer: 0,
    speak: 0,
  };
  readonly trace: TraceEntry[] = [];
  readonly unit: number;

  constructor(unit: number) {
    this.unit = unit;
  }

  /** Runs a module. @throws Error that names unit and module. */
  async run<T>(module: ModuleName, work: () => Promise<T> | T): Promise<T> {
    const start = performance.now();
    try {
      return await work();
    } catch (error) {
      const Kind = error instanceof InputError ? InputError : Error;
      throw new Kind(`unit ${this.unit}: ${module}: ${errorText(error)}`, { cause: error });
    } finally {
      this.modules[module] += performance.now() - start;
    }
  }

  note(module: TraceEntry["module"], what: string, words?: readonly string[]): void {
    this.trace.push({ unit: this.unit, module, what, ...(words ? { words: [...words] } : {}) });
  }
}

export class Dialogue {
  readonly #parts: Parts;
  readonly #settings: TurnSettings;
  readonly #user: StreamShape;
  readonly #turns: Turns;
  /** The newest sound, oldest unit first. */
  readonly #sound: Float32Array[] = [];
  /** Words of the turn that was over last, and of one before it that goes on. */
  #words: string[] = [];
  #before: string[] = [];
  /** Words typed so far. */
  #typed: string[] = [];
  /** What a barge-in kept the agent from saying. */
  #unsaid: readonly string[] = [];
  /** The newest frame, and the one that was looked at last. */
  #frame: Uint8Array | null = null;
  #looked: Uint8Array | null = null;
  /** Units for which the picture has been another than that one. */
  #newFor = 0;
  #card: string[] = [];
  /** The newest card that was seen, and the one before it. */
  #shown: string[] | null = null;
  #previous: string[] | null = null;
  /** The card was talked about. */
  #isDiscussed = true;
  /** Whole units since somebody spoke or the picture changed. */
  #quiet = 0;

  constructor(parts: Parts, settings: TurnSettings, user: StreamShape) {
    this.#parts = parts;
    this.#settings = settings;
    this.#user = user;
    this.#turns = new Turns(settings, parts.endOfTurn.after);
  }

  /**
   * Takes the next unit's observation and gives its response; nothing else is under way meanwhile.
   *
   * @param queued Milliseconds for which it waited.
   * @throws Error when a part fails: unit, module and what it said.
   */
  async answer(
    number: number,
    { audio, frames, text }: GivenObservation,
    queued: number,
  ): Promise<CascadeResponse> {
    const start = performance.now();
    const unit = new Unit(number);
    const { activity, reader, speaker } = this.#parts;
    const sound = audio ?? new Float32Array(this.#user.samples);
    this.#sound.push(sound);
    if (this.#sound.length * this.#user.unitMs > longestSound * 1000) this.#sound.shift();

    const scores = await unit.run("activity", () => activity.push(sound));
    const signs = this.#turns.push(scores, speaker.isSpeaking);
    await unit.run("read", () => reader.push({ audio, frames }));
    const isSettled = this.#see(frames);
    this.#react(unit, signs);
    if (signs.asks && await this.#isOver(unit, signs)) {
      await this.#heard(unit, this.#turns.over(scores.length));
    }
    await this.#type(unit, text);

    const isSilent = !this.#turns.isOpen && !signs.isSpeaking;
    this.#newFor = isSettled && this.#hasChanged ? this.#newFor + 1 : 0;
    const isNew = isSilent && this.#newFor >= settling && await this.#look(unit);
    const isQuiet = isSilent && !text && signs.silence >= scores.length * windowSeconds;
    if (isQuiet && !isNew && !speaker.isSpeaking) await this.#goOn(unit, signs.silence);
    const response = await unit.run("speak", () => speaker.next());
    // A new picture is so from the unit on in which it came, though it is looked at later.
    this.#quiet = isQuiet && this.#newFor !== 1 && !speaker.isSpeaking ? this.#quiet + 1 : 0;
    const { encode, pass, sendSlice, solve, sendLatents, decode } = response.stages;
    const total = performance.now() - start;
    const wait = Math.max(0, total - (encode + pass + sendSlice + solve + sendLatents + decode));
    return {
      ...response,
      unit: number,
      stages: { ...response.stages, queue: queued, wait, total },
      modules: unit.modules,
      trace: unit.trace,
    };
  }

  /** What follows from the user's speech at once. */
  #react(unit: Unit, { began, ended, resumed, bargeIn }: Signs): void {
    if (began) unit.note("activity", "the user begins");
    if (ended) unit.note("activity", "the user is silent");
    if (resumed && this.#words.length > 0) {
      unit.note("endOfTurn", "the user goes on", this.#words);
      this.#before = this.#words;
      this.#stop(unit, "the answer is dropped");
    }
    if (bargeIn) this.#unsaid = this.#stop(unit, "stops the agent");
  }

  async #isOver(unit: Unit, { silence, isFirst }: Signs): Promise<boolean> {
    const turns = this.#turns;
    // From the newest sample back: this unit's last one is now.
    const { sampleRate } = this.#user;
    const length = Math.round((turns.now - (turns.begin ?? 0) + beforeSpeech) * sampleRate);
    const sound = joined(this.#sound).slice(-Math.min(length, longestSound * sampleRate));
    const asked = { unit: unit.unit, silence, isFirst, sound };
    const isOver = await unit.run("endOfTurn", () => this.#parts.endOfTurn.isOver(asked));
    const after = `after ${silence.toFixed(3)} s of silence`;
    if (isOver) unit.note("endOfTurn", `the turn is over ${after}`);
    else if (isFirst) unit.note("endOfTurn", `the turn is not over ${after}`);
    return isOver;
  }

  /** The user's turn is over: what was said is read and answered. */
  async #heard(unit: Unit, turn: Turn): Promise<void> {
    const before = this.#before;
    this.#words = this.#before = [];
    if (turn.isShort && this.#settings.short === "ignored") {
      return unit.note("bargeIn", "too short to stop the agent: ignored");
    }
    const words = [...before, ...await unit.run("read", () => this.#parts.reader.read())];
    unit.note("read", words.length ? "words" : "no words", words);
    this.#words = words;
    if (words.length) await this.#answer(unit, words);
  }

  /** Typed text is complete when a unit without any follows. */
  async #type(unit: Unit, text: string): Promise<void> {
    if (text) return void this.#typed.push(...text.split(/\s+/).filter((word) => word));
    const words = this.#typed.splice(0);
    if (words.length === 0) return;
    unit.note("read", "typed", words);
    await this.#answer(unit, words);
  }

  async #answer(unit: Unit, words: string[]): Promise<void> {
    this.#stop(unit, "words stop the agent");
    this.#unsaid = [];
    await this.#look(unit);
    const { answerer } = this.#parts;
    const said = await unit.run(
      "answer",
      () => answerer.heard([...words], [...this.#card], this.#previous && [...this.#previous]),
    );
    unit.note("answer", said?.length ? "an answer" : "nothing to say", said ?? []);
    if (said?.length) this.#say(unit, said);
  }

  #say(unit: Unit, words: readonly string[]): void {
    this.#isDiscussed = true;
    this.#parts.speaker.say(words);
    unit.note("speak", "says", words);
  }

  /** Silences the agent where it speaks. @returns What it had not begun to say. */
  #stop(unit: Unit, what: string): readonly string[] {
    const { speaker } = this.#parts;
    if (!speaker.isSpeaking) return [];
    const unsaid = speaker.stop() ?? [];
    unit.note("bargeIn", what, unsaid);
    return unsaid;
  }

  /** Where nobody speaks: the agent goes on after a false barge-in, or names a card. */
  async #goOn(unit: Unit, silence: number): Promise<void> {
    const { resume, unasked } = this.#settings;
    if (resume > 0 && this.#unsaid.length > 0 && silence > resume - 1e-6) {
      unit.note("bargeIn", "no words: the agent goes on", this.#unsaid);
      this.#say(unit, this.#unsaid);
      this.#unsaid = [];
    } else if (
      unasked > 0 && this.#quiet + 1 >= unasked && !this.#isDiscussed && this.#card.length
    ) {
      await this.#look(unit);
      this.#isDiscussed = true;
      if (this.#card.length === 0) return;
      const card = [...this.#card];
      const said = await unit.run("answer", () => this.#parts.answerer.unasked(card));
      unit.note("answer", said?.length ? "names the card" : "nothing to say", said ?? []);
      if (said?.length) this.#say(unit, said);
    }
  }

  /** Keeps the newest frame. @returns Whether the picture holds still within the unit. */
  #see(frames: Uint8Array | null): boolean {
    if (!frames) return false;
    const bytes = frames.length / this.#user.frames;
    this.#frame = frames.subarray(-bytes);
    return difference(frames.subarray(0, bytes), this.#frame) <= changed;
  }

  /** The picture isn't the one that was looked at last. */
  get #hasChanged(): boolean {
    if (!this.#frame) return false;
    return !this.#looked || difference(this.#frame, this.#looked) > changed;
  }

  /** Looks again where the picture is the one that was looked at last, too: what is read otherwise then
   * corrects what was read before.
   *
   * @returns Whether another card is seen. */
  async #look(unit: Unit): Promise<boolean> {
    const isAnother = this.#hasChanged;
    this.#looked = this.#frame;
    const card = await unit.run("look", () => this.#parts.reader.look());
    if (isSame(card, this.#card)) return false;
    unit.note("look", card.length ? "a card" : "no card", card);
    this.#card = card;
    if (isAnother) this.#isDiscussed = false;
    if (card.length > 0 && !isSame(card, this.#shown ?? [])) {
      if (isAnother) this.#previous = this.#shown;
      this.#shown = card;
    }
    return isAnother;
  }
}

/** Mean absolute difference of two frames. */
function difference(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs((a[i] ?? 0) - (b[i] ?? 0));
  return sum / a.length;
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i]);
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
