/** What `compare` gives on standard output: tables, JSON, comma-separated values. */
import { enoughConversations } from "../eval/figures/compare.ts";
import { intervalText, number } from "../eval/figures/table.ts";
import { enoughEvents } from "../eval/measures/outcomes.ts";
import { counted, recordsCsv, type Table, tableOf } from "../reports/table.ts";
import type { NamedNetwork } from "./conditions.ts";
import type { Group, SideBySide, SideFigure } from "./sides.ts";
import type { PaperWork } from "./paper.ts";

/** An agent that took part. */
export interface Agent {
  name: string;
  line: string;
  settings: Record<string, unknown>;
  checkpointDigest: string;
  /** Null: it is no model of ours, or doesn't tell. */
  paper: PaperWork | null;
}

/** Both agents under one condition. */
export interface Compared {
  /** E.g. "quiet". */
  name: string;
  networks: NamedNetwork[];
  /** Recordings that both answered, and those that only one has. */
  recordings: number;
  leftOut: string[];
  figures: SideBySide[];
}

const titles: Record<Group, string> = {
  latency: "From the end of the user's turn to the first sample of the answer",
  work: "Work on this machine",
  eval: "Against the truth record (docs/eval.md)",
  score: "By recordings alone (docs/score.md)",
};

/** A letter for each agent: names may be long. */
export const letters = ["A", "B"] as const;

/** In place of a figure that rests on too little. */
export const tooFew = (events: number) => `too few (${events})`;

/** What stands below a table that has such a figure. */
export const fewNote = `'too few (n)' rests on n events; a figure needs ${enoughEvents}`;

/** Figures of `score` that are counts: they rest on nothing. */
const counts = /^(turns|bargeIns|backchannels)$/;

/** A row as it is told: without figures of too few events, which JSON and CSV have. */
function told(row: SideBySide): SideBySide {
  if (row.group !== "score" || counts.test(row.key)) return row;
  const isFew = ({ events }: SideFigure) => events < enoughEvents;
  if (!isFew(row.a) && !isFew(row.b)) return row;
  const side = (figure: SideFigure) =>
    isFew(figure) ? { ...figure, value: null, interval: null } : figure;
  const difference = { value: null, interval: null };
  return { ...row, a: side(row.a), b: side(row.b), difference, differs: null };
}

/** Processor time that is less than this part of the wall time is a busy machine's. */
const busyPart = 0.5;

/** Agents that waited for the machine, in words. */
function busyNotes(figures: readonly SideBySide[]): string[] {
  return (["a", "b"] as const).flatMap((side, i) => {
    const [wall, processor] = ["computePerSecond", "processorPerSecond"].map((key) =>
      figures.find((one) => one.key === key)?.[side].value
    );
    if (!wall || !processor || processor > busyPart * wall) return [];
    return [
      `the machine was busy while ${
        letters[i]
      } answered (or a graphics card did the work): compute ` +
      `time is ${
        (wall / processor).toFixed(1)
      } times the processor time; read processor time, or run ` +
      "on an idle machine",
    ];
  });
}

/** Keys of figures that are wall time. */
const wallTime = /WithCompute|^compute|^longerThanUnit|^modulePerSecond/;

/** The tables of a condition. */
export function comparedTables({ name, recordings, leftOut, figures }: Compared): Table[] {
  const groups = ["latency", "eval", "score", "work"] as const;
  const verdicts = new Map([[true, "differs"], [false, "no difference shown"], [null, ""]]);
  const known = (value: number | null) => value === null ? "" : number(value);
  // Of no events a latency is unknown; other figures then have no place in this agent.
  const shown = ({ value, events }: SideFigure, { group, key }: SideBySide) => {
    const isFew = events > 0 || (group === "latency" && !wallTime.test(key));
    return value === null ? isFew ? tooFew(events) : "" : number(value);
  };
  const busy = busyNotes(figures);
  const isBusy = ({ key }: SideBySide) => busy.length > 0 && wallTime.test(key);
  return groups.flatMap((group) => {
    const rows = figures.filter((one) => one.group === group).map(told);
    if (rows.length === 0) return [];
    const hasFew = rows.some(({ a, b }) =>
      [a, b].some(({ value, events }) => value === null && events > 0)
    );
    const notes = [
      `${counted(recordings, "recording")} that both answered; intervals hold 95 % of the ` +
      "bootstrap's draws of conversations; differences are A less B",
      ...(hasFew ? [fewNote] : []),
      ...(rows.some(isBusy) ? busy : []),
      ...(leftOut.length > 0 ? [`only one answered: ${leftOut.join(", ")}`] : []),
    ];
    return [tableOf(`${name}: ${titles[group]}`, rows, [
      [
        "",
        ({ label, of }) =>
          label.replace(/^ /, "  ") + (of === null || label.trim() === of ? "" : `, ${of}`),
      ],
      ["A", (row) => shown(row.a, row)],
      ["95 %", ({ a }) => intervalText(a.interval)],
      ["B", (row) => shown(row.b, row)],
      ["95 %", ({ b }) => intervalText(b.interval)],
      ["A - B", ({ difference }) => known(difference.value)],
      ["95 %", ({ difference }) => intervalText(difference.interval)],
      ["", (row) => isBusy(row) ? "busy: see note" : verdicts.get(row.differs) ?? ""],
      ["n", ({ a, b }) => `${number(a.events)}, ${number(b.events)}`],
    ], notes)];
  });
}

/** What a reader wants to know first. */
const claims = [
  {
    ...{ key: "latencyP50", what: "how soon they answer", winner: "less" },
    ...{ claim: "answers sooner", unit: " ms", at: " at the median", times: 1, digits: 0 },
  },
  {
    ...{ key: "falseStartsInPauses", what: "how many pauses they break", winner: "more" },
    ...{ claim: "breaks more pauses", unit: " %", at: "", times: 100, digits: 1 },
  },
  {
    ...{ key: "rightAsFar", what: "how often they are right", winner: "more" },
    ...{
      claim: "is right more often",
      unit: " %",
      at: " as far as they speak",
      times: 100,
      digits: 1,
    },
  },
] as const;

/** The answer in a sentence for each claim, of a condition and its first network; the words come from
 * the figures alone. */
export function verdictOf({ name, recordings, networks, figures }: Compared): string[] {
  const isJudged = figures.some(({ group }) => group === "eval");
  const under = `Of ${counted(recordings, "recording")} (${name}), network ` +
    `${networks[0]?.text ?? ""}, without compute time.`;
  const asked = isJudged ? claims : claims.slice(0, 1);
  const sentences = asked.map(({ key, what, winner, claim, unit, at, times, digits }): string => {
    const row = figures.find((one) => one.key === key);
    const text = (value: number) => `${(times * value).toFixed(digits)}`;
    const { a, b, difference, differs } = row ?? {};
    if (!a || !b || a.value === null || b.value === null || difference?.value == null) {
      const there = `${a?.events ?? 0} (A) and ${b?.events ?? 0} (B)`;
      return `Too few events to tell ${what}: a figure needs ${enoughEvents}` +
        `${row ? `, there are ${there}` : ""}.`;
    }
    const both = `A ${text(a.value)}${unit}, B ${text(b.value)}${unit}${at}`;
    const { value, interval } = difference;
    const ends = interval ? ` (${interval.map(text).join(" to ")})` : "";
    if (differs === true) {
      const first = (value < 0) === (winner === "less") ? "A" : "B";
      return `${first} ${claim}: ${both}; A less B is ${text(value)}${unit}${ends}.`;
    }
    const why = differs === false
      ? "no difference shown"
      : interval === null
      ? "without intervals no difference is shown"
      : `fewer than ${enoughConversations} conversations show no difference`;
    return `In ${what}, ${why}: ${both}; A less B is ${text(value)}${unit}${ends}.`;
  });
  return [...sentences, under];
}

/** The agents, and what they cost on paper. */
export function agentsTable(agents: readonly Agent[]): Table {
  return tableOf("Agents", agents, [
    ["", ({ name }) => `${letters[agents.findIndex((one) => one.name === name)] ?? ""} ${name}`],
    ["parameters", ({ paper }) => paper && `${(paper.parameters / 1e6).toFixed(2)} M`],
    ["tokens a second", ({ paper }) => paper && number(paper.tokensPerSecond)],
    ["GFLOP a second", ({ paper }) => paper && number(paper.flopsPerSecond / 1e9)],
    ["checkpoint", ({ checkpointDigest }) => checkpointDigest.slice(0, 12)],
  ], agents.map(({ name, line }, i) => `${letters[i] ?? ""}: ${name}: ${line}`));
}

/** Every number, unrounded. */
export function comparedCsv(all: readonly Compared[]): string {
  const ends = (name: string, { value, interval }: Omit<SideFigure, "events">) => ({
    ...{ [name]: value, [`${name}Low`]: interval?.[0] ?? null },
    [`${name}High`]: interval?.[1] ?? null,
  });
  return recordsCsv(
    all.flatMap(({ name, figures }) =>
      figures.map(({ group, key, of, label, a, b, difference, differs }) => ({
        ...{ condition: name, group, key, of, label: label.trim() },
        ...{ ...ends("a", a), aEvents: a.events, ...ends("b", b), bEvents: b.events },
        ...{ ...ends("difference", difference), differs },
      }))
    ),
  );
}
