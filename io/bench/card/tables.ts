/** What a step gave, as a table. */
import { median } from "../../../kernels/measure/quantile.ts";
import { figure, type Table } from "../../reports/table.ts";
import type { Item, StepRecord } from "./steps.ts";

/** A step's table; its first note says how it ended. */
export function recordTable(record: StepRecord): Table {
  const { step, state, reason, underWay, seconds, items } = record;
  const notes = [
    state === "done" ? `done in ${figure(seconds)} s` : `${state}: ${reason}`,
    ...(state === "stopped" && underWay !== null ? [`Under way was: ${underWay}.`] : []),
    ...items.flatMap(({ name, failed }) => failed === undefined ? [] : [`${name}: ${failed}.`]),
  ];
  return {
    title: step,
    ...rowsOf(step, items.filter(({ failed }) => failed === undefined)),
    notes,
  };
}

const text = (value: unknown): string | null =>
  value === null || value === undefined
    ? null
    : typeof value === "number"
    ? figure(value)
    : String(value);

function rowsOf(step: string, items: readonly Item[]): Pick<Table, "columns" | "rows"> {
  switch (step) {
    case "features":
      return {
        columns: ["feature", "answer", "listed by the adapter"],
        rows: items.filter(({ name }) => name !== "adapter")
          .map(({ name, answer, listed }) => [name, text(answer), text(listed)]),
      };
    case "forms":
      return {
        columns: ["form that is wrong", "why"],
        rows: [
          ...items.filter(({ right }) => right === false)
            .map(({ name, wrong }) => [name, text(wrong)]),
          [`${items.filter(({ right }) => right === true).length} are right`, null],
        ],
      };
    case "ceilings":
      return {
        columns: ["GFLOP/s", "GB/s", "ms of a launch"],
        rows: items.map((item) => [
          text(item["gigaflops"]),
          text(item["gigabytes"]),
          text(item["launchMs"]),
        ]),
      };
    case "shapes":
      return {
        columns: ["shape", "form", "ms", "GFLOP/s"],
        rows: items.flatMap(({ name, times, flops, chosen }) =>
          Object.entries(times as Record<string, number | string>).map(([form, time]) => [
            name,
            form === chosen ? `${form} (taken)` : form,
            text(time),
            typeof time === "number" ? text(Number(flops) / time / 1e6) : null,
          ])
        ),
      };
    default:
      return tickRows(items);
  }
}

function tickRows(items: readonly Item[]): Pick<Table, "columns" | "rows"> {
  const ticks = items.filter(({ tick }) => tick !== undefined);
  const stage = (name: string) => median(ticks.map((item) => Number(item[name])));
  return {
    columns: ["stage", "median ms"],
    rows: [
      ...["encode", "pass", "solve", "decode", "tick"].map((name) => [name, text(stage(name))]),
      ...items.filter(({ seconds }) => seconds !== undefined)
        .map(({ name, seconds }) => [`${name} (before)`, text(1000 * Number(seconds))]),
    ],
  };
}
