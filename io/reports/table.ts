/** Tables of figures: one form, printed as text and as a page's HTML. */

/** A cell; null: the figure is missing. */
export type Cell = string | null;

export interface Table {
  title: string;
  columns: readonly string[];
  /** The first cell of a row names it; the others stand right-aligned. */
  rows: readonly (readonly Cell[])[];
  /** What a reader must know. */
  notes?: readonly string[];
}

/** A table with a row for each item, from its columns: what stands above, and an item's cell. */
export function tableOf<T>(
  title: string,
  items: readonly T[],
  columns: readonly (readonly [heading: string, cell: (item: T) => Cell])[],
  notes: readonly string[] = [],
): Table {
  return {
    title,
    columns: columns.map(([heading]) => heading),
    rows: items.map((item) => columns.map(([, cell]) => cell(item))),
    notes,
  };
}

/** Longest name of a row in text. */
const longestName = 46;

/** The table for a terminal. */
export function tableText({ title, columns, rows, notes = [] }: Table): string {
  const cells = [columns, ...rows].map((row) => row.map((cell) => cell ?? "-"));
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => (row[i] ?? "").length)));
  widths[0] = Math.min(longestName, widths[0] ?? 0);
  const line = (row: readonly string[]) =>
    row.map((cell, i) => {
      const width = widths[i] ?? 0;
      return i === 0 ? cell.slice(0, width).padEnd(width) : cell.padStart(width);
    }).join("  ").trimEnd();
  const [head = [], ...body] = cells;
  return [
    title,
    ...(columns.length > 0 ? [line(head)] : []),
    ...body.map(line),
    ...notes,
  ].join("\n") + "\n";
}

/** A number with about three significant digits. */
export function figure(value: number | null | undefined): Cell {
  if (value === null || value === undefined || !Number.isFinite(value)) return null;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 100) return Math.round(value).toString();
  if (size >= 10) return value.toFixed(1);
  if (size >= 1) return value.toFixed(2);
  return value.toPrecision(2).includes("e") ? value.toExponential(1) : value.toPrecision(2);
}

/** How many there are, in words: the noun agrees with the number. */
export const counted = (count: number, noun: string) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** Two numbers, from the lower to the higher. */
export function range(ends: readonly [lower: number, upper: number]): string {
  return ends.map(figure).join(" - ");
}

/** A fraction in percent. */
export function percent(part: number | null | undefined): Cell {
  if (part === null || part === undefined || !Number.isFinite(part)) return null;
  return `${(100 * part).toFixed(part < 0.0995 ? 1 : 0)} %`;
}

/** Bytes in a unit that suits them. */
export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = bytes <= 0 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
  return `${figure(bytes / 1000 ** step)} ${units[step]}`;
}

/** The table in Markdown; the first column stands left, the others right. */
export function tableMarkdown({ columns, rows, notes = [] }: Table): string {
  const line = (cells: readonly Cell[]) =>
    `| ${cells.map((cell) => (cell ?? "").trim().replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = columns.map((_, i) => i === 0 ? "---" : "---:");
  // A table without columns is its notes.
  const body = columns.length > 0 ? [line(columns), line(rule), ...rows.map(line)] : [];
  return [...body, ...notes.flatMap((note) => ["", note])]
    .join("\n") + "\n";
}

/** Tables as comma-separated values: a line per cell that has a figure. */
export function tablesCsv(tables: readonly Table[]): string {
  return recordsCsv(
    tables.flatMap(({ title, columns, rows }) =>
      rows.flatMap(([row, ...cells]) =>
        cells.map((value, i) => ({
          table: title,
          row: row?.trim() ?? "",
          column: columns[i + 1] ?? "",
          value,
        }))
      )
    ),
  );
}

/** Records as comma-separated values (RFC 4180), their keys first; null is an empty field. */
export function recordsCsv(records: readonly Record<string, string | number | boolean | null>[]) {
  const field = (value: string | number | boolean | null | undefined) => {
    const text = `${value ?? ""}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const keys = Object.keys(records[0] ?? {});
  const lines = records.map((record) => keys.map((key) => record[key]));
  return [keys, ...lines].map((line) => `${line.map(field).join(",")}\r\n`).join("");
}
