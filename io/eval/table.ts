/** The report as text. */
import type { Row } from "./bars.ts";

/** Lines of a table: figure, what stands beside it, bar, verdict, events. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map((one) => {
    const { label, beside, bar } = one;
    const value = one.value === null ? `too few (${one.events})` : number(one.value);
    const other = beside
      ? `${beside.value === null ? "too few" : number(beside.value)} ${beside.what}`
      : "";
    const events = one.value === null || one.value === one.events ? "" : `n ${one.events}`;
    return [
      label.replace(/^ /, "  ").padEnd(38),
      value.padStart(13),
      other.padStart(15),
      barText(one).padStart(13),
      bar ? `  ${verdict(bar.met)}` : "",
      events === "" ? "" : `  ${events.padStart(bar ? 0 : 14)}`,
    ].join("").trimEnd();
  });
  const head = [
    "".padEnd(38),
    "figure".padStart(13),
    "beside it".padStart(15),
    "bar".padStart(13),
  ].join("");
  return `${[head, ...lines].join("\n")}\n`;
}

function barText({ key, bar }: Row): string {
  if (!bar) return "";
  const { atMost, atLeast } = bar;
  if (key.startsWith("last_30_s_")) return "worse <= 0.1";
  if (atMost !== undefined && atLeast !== undefined) return `+-${number(atMost)}`;
  return atMost !== undefined ? `<= ${number(atMost)}` : `>= ${number(atLeast ?? NaN)}`;
}

function verdict(met: boolean | null): string {
  return met === null ? "not known " : met ? "reached   " : "FALLS SHORT";
}

function number(value: number): string {
  if (Number.isInteger(value)) return `${value}`;
  return Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(3);
}
