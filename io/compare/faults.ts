/** What became of each question of a conversation, and which module, unit and word went wrong. */
import { runAt } from "../eval/measures/activity.ts";
import { unflag } from "../eval/figures/recording_result.ts";
import type { Question } from "../eval/measures/truth.ts";
import { truthRate } from "../eval/measures/truth.ts";
import { type Table, tableOf } from "../reports/table.ts";
import { hasRoom, leastRoom } from "./latency.ts";
import type { Answered, Traced } from "./result.ts";

/** The first thing that went wrong. */
export interface Fault {
  /** A cascade's module; `model`: there is only one. */
  module: string;
  unit: number;
  what: string;
}

/** A question as an agent took it. */
export interface Account {
  question: Question;
  /** The user leaves room for an answer, and `eval` judges it: what goes wrong counts. */
  counts: boolean;
  /** Words from the question's end on; null: they weren't judged. */
  said: string | null;
  isRight: boolean | null;
  /** Units from the question's last to the answer's first; null: none came. */
  delay: number | null;
  /** A cascade's: what it read, the card that it saw, and its decisions in words. */
  read: string | null;
  card: string | null;
  decisions: string[];
  fault: Fault | null;
}

/** The questions of a recording, in order. */
export function accounts(result: Answered, unitMs: number): Account[] {
  const { truth } = result.live;
  const questions = truth.events.filter((event) => event.type === "question");
  return questions.map((question, i): Account => {
    const { start: unit, end } = question;
    const outcome = (measure: string) =>
      result.outcomes.find((one) => one.measure === measure && one.unit === unit);
    const right = outcome("right");
    const until = questions[i + 1]?.start ?? result.units;
    const trace = result.live.trace.filter((one) => one.unit >= unit && one.unit < until);
    const words = (module: string, before = until) =>
      result.live.trace.findLast((one) =>
        one.module === module && one.words !== undefined && one.unit < before &&
        (module === "look" || one.unit >= unit)
      )?.words?.join(" ") ?? null;
    const answered = trace.find(({ module }) => module === "answer")?.unit ?? until - 1;
    const account = {
      ...{ question, said: right?.said ?? null, isRight: right ? right.value === 1 : null },
      delay: outcome("delay")?.value ?? null,
      ...{ read: words("read", answered + 1), card: words("look", answered + 1) },
      decisions: trace.map(({ unit, module, what, words }) =>
        `${unit} ${module}: ${what}${words?.length ? ` (${words.join(" ")})` : ""}`
      ),
    };
    const missed = outcome("missed");
    const counts = hasRoom(truth, end) && (right !== undefined || missed !== undefined);
    // What is right and late is told by its latency.
    const isWrong = counts && (right ? right.value === 0 : missed?.value === 1);
    const fault = brokenPause(question, result, trace, unitMs) ??
      (isWrong ? wrong(account, result, trace, end) : null);
    return { ...account, counts, fault };
  });
}

/** How many questions went wrong first in which module: a row for each agent and condition. */
export function faultsTable(
  conditions: readonly { name: string; sides: readonly (readonly Answered[])[] }[],
  letters: readonly string[],
  unitMs: number,
): Table {
  const rows = conditions.flatMap(({ name, sides }) =>
    sides.map((results, side) => {
      const all = results.filter(({ swap }) => swap === null)
        .flatMap((result) => accounts(result, unitMs))
        .filter(({ counts, fault }) => counts || fault !== null);
      const modules = all.flatMap(({ fault }) => fault ? [fault.module] : []);
      return { name: `${letters[side]}, ${name}`, questions: all.length, modules };
    })
  );
  const found = new Set(rows.flatMap(({ modules }) => modules));
  const columns = order.filter((name) => found.has(name));
  return tableOf("Questions that went wrong, by what went wrong first", rows, [
    ["", ({ name }) => name],
    ["questions", ({ questions }) => `${questions}`],
    ["wrong", ({ modules }) => `${modules.length}`],
    ...columns.map((module) =>
      [
        module,
        ({ modules }: (typeof rows)[number]) => `${modules.filter((one) => one === module).length}`,
      ] as const
    ),
  ], [
    `of the questions that leave ${leastRoom} units for an answer, and of broken pauses; an answer that ` +
    "the user's next turn or the recording's end cut off is wrong here, too",
  ]);
}

const order = ["model", "activity", "endOfTurn", "read", "look", "answer", "bargeIn", "speak"];

/** The agent began to speak in a pause of the question. */
function brokenPause(
  { interrupts, pauses }: Question,
  { active }: Answered,
  trace: readonly Traced[],
  unitMs: number,
): Fault | null {
  if (interrupts) return null;
  const voice = unflag(active);
  const unitOf = (sample: number) => Math.floor((sample * 1000) / truthRate / unitMs);
  for (const [from, to] of pauses) {
    for (let unit = unitOf(from) + 1; unit <= unitOf(to); unit++) {
      if (!voice[unit] || voice[unit - 1]) continue;
      const over = trace.find((one) => one.module === "endOfTurn" && one.unit >= unitOf(from));
      return {
        module: over ? "endOfTurn" : "model",
        unit: over?.unit ?? unit,
        what: over ? `${over.what}, in a pause of the question` : "it speaks in a pause",
      };
    }
  }
  return null;
}

function wrong(
  { question, said, read, card }: Pick<Account, "question" | "said" | "read" | "card">,
  result: Answered,
  trace: readonly Traced[],
  end: number,
): Fault {
  const wanted = question.words.join(" ");
  const isCascade = result.live.trace.length > 0;
  if (isCascade) {
    const fault = wrongTurn(question, read, trace, end) ??
      wrongWords(question, read, card, result, trace, end);
    if (fault) return fault;
    const begun = trace.find(({ module }) => module === "answer")?.unit ?? end;
    const dropped = trace.find(({ unit, module, what, words }) =>
      module === "bargeIn" && unit > begun && words?.length && !what.includes("goes on")
    );
    if (dropped && wanted.startsWith(said ?? "")) {
      return {
        module: "bargeIn",
        unit: dropped.unit,
        what: `${dropped.what}: '${said ?? ""}' was said`,
      };
    }
  }
  const module = isCascade ? "speak" : "model";
  if (said === null || said === "") {
    return { module, unit: end, what: "no answer was heard in its time" };
  }
  const spoken = said.split(" ");
  const at = question.words.findIndex((word, i) => word !== spoken[i]);
  const place = at < 0 ? question.words.length : at;
  return { module, unit: unitOfWord(result, end, place), what: difference(wanted, said) };
}

/** The user's voice wasn't noticed, or the turn was over too soon or too late. */
function wrongTurn(
  { text, typed }: Question,
  read: string | null,
  trace: readonly Traced[],
  end: number,
): Fault | null {
  if (typed) return null;
  if (!trace.some(({ module }) => module === "activity")) {
    return { module: "activity", unit: end, what: "the user's voice was not noticed" };
  }
  const overs = trace.filter(({ module, what }) =>
    module === "endOfTurn" && what.startsWith("the turn is over")
  );
  const fault = (unit: number, what: string) => ({ module: "endOfTurn", unit, what });
  const early = overs.find(({ unit }) => unit < end);
  if (early && plain(read ?? "") !== plain(text)) {
    return fault(early.unit, `${early.what}, before the question's end`);
  }
  const over = overs.find(({ unit }) => unit >= end);
  if (!over) return fault(end, "the turn was not over in its time");
  const late = over.unit - end;
  return late > leastRoom ? fault(over.unit, `the turn is over only after ${late} units`) : null;
}

/** Words that were read, a card that was seen, or an answer that was found, are others. */
function wrongWords(
  { text, words, card }: Question,
  read: string | null,
  seen: string | null,
  result: Answered,
  trace: readonly Traced[],
  end: number,
): Fault | null {
  const first = (module: string) => trace.find((one) => one.module === module);
  const answered = first("answer")?.unit ?? end;
  if (plain(read ?? "") !== plain(text)) {
    const unit = trace.findLast((one) => one.module === "read" && one.unit <= answered)?.unit ??
      end;
    return { module: "read", unit, what: difference(text, read ?? "") };
  }
  const shown = card?.map(numberWord).join(" ");
  if (shown !== undefined && seen !== null && plain(seen) !== plain(shown)) {
    const looked = result.live.trace.findLast((one) =>
      one.module === "look" && one.unit <= answered
    );
    return { module: "look", unit: looked?.unit ?? end, what: difference(shown, seen) };
  }
  const found = first("answer")?.words?.join(" ") ?? "";
  if (found === words.join(" ")) return null;
  return { module: "answer", unit: answered, what: difference(words.join(" "), found) };
}

/** The unit in which the agent says its word of this place after a unit, or should. */
function unitOfWord({ words, active }: Answered, end: number, place: number): number {
  const said = words.filter(([unit]) => unit >= end);
  const run = runAt(unflag(active), end, 1);
  return said[place]?.[0] ?? said.at(-1)?.[0] ?? run?.end ?? end;
}

/** The first word that differs, in words. */
function difference(wanted: string, got: string): string {
  const [a, b] = [wanted, got].map((text) => plain(text).split(" ").filter((word) => word));
  const at = (a ?? []).findIndex((word, i) => word !== b?.[i]);
  if (at < 0) return `more than '${wanted}': '${got}'`;
  const is = b?.[at];
  return `word ${at + 1}: '${a?.[at]}' is wanted, ${is === undefined ? "nothing" : `'${is}'`} came`;
}

const plain = (text: string) => text.toLowerCase().replace(/[^\p{L}\p{N}' ]/gu, "").trim();

const numbers = ["zero", "one", "two", "three", "four", "five", "six"];
const numberWord = (word: string) => numbers[Number(word)] ?? word;
