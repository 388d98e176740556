/** The report as text. */
import { tableText } from "../reports/table.ts";
import type { Row } from "./bars.ts";

/** The table: figure, what stands beside it, bar, verdict, events. */
export function table(rows: readonly Row[]): string {
  return tableText({
    title: "",
    columns: ["", "figure", "beside it", "bar", "verdict", "events"],
    rows: rows.map((row) => [
      row.label.replace(/^ /, "  "),
      row.value === null ? `too few (${row.events})` : number(row.value),
      row.beside
        ? `${row.beside.value === null ? "too few" : number(row.beside.value)} ${row.beside.what}`
        : "",
      barText(row),
      row.bar ? verdict(row.bar.met) : "",
      row.value === null || row.value === row.events ? "" : `n ${row.events}`,
    ]),
  }).trimStart();
}

function barText({ key, bar }: Row): string {
  if (!bar) return "";
  const { atMost, atLeast } = bar;
  if (key.startsWith("last_30_s_")) return "worse <= 0.1";
  if (atMost !== undefined && atLeast !== undefined) return `+-${number(atMost)}`;
  return atMost !== undefined ? `<= ${number(atMost)}` : `>= ${number(atLeast ?? NaN)}`;
}

function verdict(met: boolean | null): string {
  return met === null ? "not known" : met ? "reached" : "FALLS SHORT";
}

function number(value: number): string {
  if (Number.isInteger(value)) return `${value}`;
  return Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(3);
}
