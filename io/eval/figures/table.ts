/** Figures as text, Markdown, CSV. */
import { recordsCsv, type Table, tableOf } from "../../reports/table.ts";
import type { Bar, Row } from "./bars.ts";
import type { Comparison, Difference } from "./compare.ts";
import type { Interval } from "./estimates.ts";

/** Figures of recordings that tell what the agent is given, and of judges. */
const ofSome = /^(promptFollowed|characterFollowed|faceDrift|voice(Followed|Error)|speechQuality)/;

/** Rows without those about long recordings, what the agent is given and judges, where there are none. */
function told(rows: readonly Row[]): Row[] {
  const hasLong = rows.some(({ key, events }) => key === "longRecordings" && events > 0);
  return rows.filter(({ key, events }) =>
    (hasLong || !/^(last30s|longRecordings)/.test(key)) && (events > 0 || !ofSome.test(key))
  );
}

/** The table: figure, interval, what stands beside it, bar, verdict, events. */
export function figuresTable(rows: readonly Row[], notes: readonly string[] = []): Table {
  const hasSpread = rows.some(({ perNoiseSeed }) => perNoiseSeed.values.length > 1);
  return {
    title: "",
    columns: [
      "",
      "figure",
      "95 %",
      ...(hasSpread ? ["sd of seeds"] : []),
      "beside it",
      "bar",
      "verdict",
      "events",
    ],
    rows: told(rows).map((row) => [
      row.label.replace(/^ /, "  "),
      row.value === null ? `too few (${row.events})` : number(row.value),
      intervalText(row.interval),
      ...(hasSpread ? [known(row.perNoiseSeed.deviation)] : []),
      row.beside ? `${known(row.beside.value) || "too few"} ${row.beside.what}` : "",
      row.bar ? barText(row.bar) : "",
      row.bar ? verdict(row.bar.met) : "",
      row.value === null || row.value === row.events ? "" : `n ${row.events}`,
    ]),
    notes,
  };
}

/** Every number of the rows, unrounded. */
export function figuresCsv(rows: readonly Row[]): string {
  return recordsCsv(
    rows.map(({ key, kind, label, value, interval, events, beside, bar, ...row }) => ({
      ...{ key, kind, label: label.trim(), value, low: interval?.[0] ?? null },
      ...{ high: interval?.[1] ?? null, events, deviation: row.perNoiseSeed.deviation },
      ...{ beside: beside?.value ?? null, besideWhat: beside?.what ?? null },
      ...{ atLeast: bar?.atLeast ?? null, atMost: bar?.atMost ?? null },
      ...{ lossAtMost: bar?.lossAtMost ?? null, met: bar?.met ?? null },
    })),
  );
}

/** The tables of a comparison: paired differences, and the events that came out otherwise. */
export function comparisonTables(
  { differIn, conversations, differences, events, leftOut }: Comparison,
) {
  const verdicts = new Map([[true, "differs"], [false, "no difference shown"], [
    null,
    "not known",
  ]]);
  const hasLong = differences.some(({ key, value }) => /^last30s/.test(key) && value !== null);
  const shown = differences.filter(({ key }) => hasLong || !/^last30s/.test(key));
  const notes = [
    `the two differ in: ${differIn.join(", ") || "nothing but what is random"}`,
    `over the same recordings and events of ${conversations} conversations; of twenty figures ` +
    "without a difference about one seems to have one",
  ];
  if (leftOut.length > 0) notes.push(`left out, not in both alike: ${leftOut.join(", ")}`);
  return [
    tableOf("Paired differences", shown, [
      ["", ({ label }) => label.replace(/^ /, "  ")],
      ["figure", ({ value, events }) => value === null ? `too few (${events})` : number(value)],
      ["against", ({ against }) => known(against)],
      ["difference", ({ difference }) => known(difference)],
      ["95 %", ({ interval }) => intervalText(interval)],
      ["verdict", ({ isDifference }) => verdicts.get(isDifference) ?? ""],
      ["events", ({ events }) => `n ${events}`],
    ], notes),
    tableOf("Events that came out otherwise", events, [
      ["", ({ measure }) => measure],
      ["events", ({ pairs }) => `${pairs}`],
      ["higher", ({ higher }) => `${higher}`],
      ["lower", ({ lower }) => `${lower}`],
    ]),
  ] satisfies Table[];
}

/** Every number of the differences, unrounded. */
export function differencesCsv(differences: readonly Difference[]): string {
  return recordsCsv(differences.map(({ interval, label, ...rest }) => ({
    ...{ ...rest, label: label.trim() },
    ...{ low: interval?.[0] ?? null, high: interval?.[1] ?? null },
  })));
}

/** How many bars are reached. */
export function verdicts(rows: readonly Row[]): string {
  const bars = told(rows).flatMap(({ bar }) => bar ? [bar.met] : []);
  const count = (met: boolean | null) => bars.filter((one) => one === met).length;
  return `bars: ${count(true)} reached, ${count(false)} not reached, ${count(null)} not known; ` +
    "every definition is in docs/eval.md";
}

export function intervalText(interval: Interval | null): string {
  return interval === null ? "" : interval.map(number).join(" to ");
}

function barText({ atMost, atLeast, lossAtMost }: Bar): string {
  if (lossAtMost !== null) return `worse <= ${lossAtMost}`;
  if (atMost !== null && atLeast !== null) return `+-${number(atMost)}`;
  return atMost !== null ? `<= ${number(atMost)}` : `>= ${known(atLeast)}`;
}

function verdict(met: boolean | null): string {
  return met === null ? "not known" : met ? "reached" : "FALLS SHORT";
}

const known = (value: number | null) => value === null ? "" : number(value);

export function number(value: number): string {
  if (Number.isInteger(value)) return `${value}`;
  return Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(3);
}
