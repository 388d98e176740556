/** What `compare` gives on standard output: tables, JSON, comma-separated values. */
import { intervalText, number } from "../eval/figures/table.ts";
import { recordsCsv, type Table, tableOf } from "../reports/table.ts";
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

/** The tables of a condition. */
export function comparedTables({ name, recordings, leftOut, figures }: Compared): Table[] {
  const groups = ["latency", "eval", "score", "work"] as const;
  const verdicts = new Map([[true, "differs"], [false, "no difference shown"], [null, ""]]);
  const known = (value: number | null) => value === null ? "" : number(value);
  const shown = ({ value, events }: SideFigure) =>
    value === null ? events > 0 ? `too few (${events})` : "" : number(value);
  return groups.flatMap((group) => {
    const rows = figures.filter((one) => one.group === group);
    if (rows.length === 0) return [];
    const notes = [
      `${recordings} recordings that both answered; intervals hold 95 % of the bootstrap's draws of ` +
      "conversations; differences are A less B",
      ...(leftOut.length > 0 ? [`only one answered: ${leftOut.join(", ")}`] : []),
    ];
    return [tableOf(`${name}: ${titles[group]}`, rows, [
      ["", ({ label, of }) => label.replace(/^ /, "  ") + (of === null ? "" : `, ${of}`)],
      ["A", ({ a }) => shown(a)],
      ["95 %", ({ a }) => intervalText(a.interval)],
      ["B", ({ b }) => shown(b)],
      ["95 %", ({ b }) => intervalText(b.interval)],
      ["A - B", ({ difference }) => known(difference.value)],
      ["95 %", ({ difference }) => intervalText(difference.interval)],
      ["", ({ differs }) => verdicts.get(differs) ?? ""],
      ["n", ({ a, b }) => `${number(a.events)}, ${number(b.events)}`],
    ], notes)];
  });
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
