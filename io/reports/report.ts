/**
 * A page with plots, tables and their provenance: one file that renders without a network and
 * without scripts. Plots are drawn here, as SVG, by draw/.
 */
import { fileURLToPath } from "node:url";
import type { Origin, Provenance } from "../provenance/provenance.ts";
import { InputError } from "../../engine/config/errors.ts";
import { RunError } from "../system/errors.ts";
import { Outputs, writeOutput } from "../system/output_file.ts";
import type { Plot } from "./plots.ts";
import type { Table } from "./table.ts";

/** What one bench found. */
export interface Bench {
  /** "kernels", "tick", ...: letters, digits, "-". */
  name: string;
  /** What the page's list of sections says, where it isn't the name. */
  label?: string;
  /** The schema of its JSON, where it isn't the command's, e.g. "bench-plan-check/1". */
  schema?: string;
  /** One line: what was measured, on what. */
  headline: string;
  /** Every figure, for machines. */
  figures: object;
  tables: readonly Table[];
  plots: readonly Plot[];
  /** More of the section, as HTML whose texts went through `escape`. */
  html?: string;
  /** The model's own facts, when there is one. */
  model?: { name: string } & Record<string, unknown>;
  /** What only the bench knows of its provenance. */
  origin?: Origin;
  /** The figures that people quote, by name: --repeat gives their spread. */
  main?: Record<string, number>;
  /** What makes the figures doubtful, in lines. */
  doubts?: readonly string[];
  /** It starts programs: their work isn't told from other programs'. */
  startsPrograms?: boolean;
  /** It is a check, and what it checks doesn't hold. */
  failed?: boolean;
}

export interface Report {
  provenance: Provenance;
  /** The model's facts. */
  model: Bench["model"] | null;
  warnings?: readonly string[];
  benches: readonly Bench[];
}

/** @throws InputError before any work, when the page could not be written. */
export const checkReport = (path: string, force: boolean): Promise<void> =>
  checkFile("--report", path, ".html", force);

/** @throws InputError before any work, when the picture could not be written. */
export const checkPicture = (path: string, force: boolean): Promise<void> =>
  checkFile("--picture", path, ".svg", force);

/** Claims the file, as the run's end will, and leaves nothing there. */
async function checkFile(
  option: string,
  path: string,
  ending: string,
  force: boolean,
): Promise<void> {
  if (!path.replace(/\.htm$/i, ".html").toLowerCase().endsWith(ending)) {
    throw new InputError(`${option}: '${path}' should end in ${ending}`);
  }
  const outputs = new Outputs([], force);
  try {
    await outputs.claim(path);
  } finally {
    await outputs.discard();
  }
}

/** Writes one plot as SVG, on white, and makes its folder. @throws RunError when it can't be drawn or
 * written. */
export async function writePicture(path: string, plot: Plot): Promise<void> {
  const [drawn = ""] = await draw([{ ...plot, spec: { background: "white", ...plot.spec } }]);
  await writeOutput(path, drawn);
}

/** Writes the page, and makes its folder. @throws RunError when plots can't be drawn, or the page can't be written. */
export async function writeReport(path: string, report: Report): Promise<void> {
  const plots = report.benches.flatMap((bench) => bench.plots);
  const drawn = plots.length === 0 ? [] : await draw(plots);
  await writeOutput(path, page(report, new Map(plots.map((plot, i) => [plot, drawn[i] ?? ""]))));
}

const folder = fileURLToPath(new URL("./draw/", import.meta.url));

/** Text and lines take the page's colours; the rest of a plot holds on light and dark. */
export const theme = {
  background: null,
  font: "system-ui, sans-serif",
  view: { stroke: null },
  axis: {
    labelColor: "currentColor",
    titleColor: "currentColor",
    domainColor: "#8a94a0",
    tickColor: "#8a94a0",
    gridColor: "#8a94a0",
    gridOpacity: 0.22,
    labelFontSize: 12,
    labelLimit: 400,
    titleFontSize: 12,
    titleFontWeight: 500,
  },
  legend: {
    labelColor: "currentColor",
    titleColor: "currentColor",
    labelFontSize: 12,
    labelLimit: 400,
  },
  header: { labelColor: "currentColor", labelFontSize: 12 },
};

/** SVG of each plot. @throws RunError when none can be drawn. */
export async function draw(plots: readonly Plot[]): Promise<string[]> {
  const specs = plots.map(({ spec }) => ({ ...spec, config: theme, padding: 6 }));
  return await drawn("draw.ts", [], JSON.stringify(specs));
}

/** The scripts with which a page draws plots itself. @throws RunError when they can't be had. */
export async function plotLibrary(): Promise<string[]> {
  return await drawn("library.ts", ["--allow-read"]);
}

/** The texts that a program of draw/ prints. */
async function drawn(program: string, permissions: string[], input = ""): Promise<string[]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-q", "--no-prompt", "--frozen", "--config", `${folder}deno.json`],
      ...[...permissions, `${folder}${program}`],
    ],
    cwd: folder,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const writing = writer.write(new TextEncoder().encode(input))
    .then(() => writer.close()).catch(() => {});
  const { success, stdout, stderr } = await child.output();
  await writing;
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) {
    const why = text(stderr).trim().split("\n").find((line) => /error/i.test(line)) ?? "no reason";
    throw new RunError(`plots can't be drawn (${why}): is npm's registry reachable?`);
  }
  return JSON.parse(text(stdout));
}

function page(
  { provenance, model, warnings = [], benches }: Report,
  svg: ReadonlyMap<Plot, string>,
): string {
  const { command, run: { date }, roles } = provenance;
  const adapter = roles?.[0]?.adapter;
  const sections = benches.map((bench) =>
    `<section id="${bench.name}">
<h2>${escape(bench.headline)}</h2>
${
      bench.plots.map((plot) =>
        `<figure id="plot-${plot.id}">
<h3>${escape(plot.title)}</h3>
${plot.note && `<p>${escape(plot.note)}</p>`}
<div class="plot">${svg.get(plot) ?? ""}</div>
${plot.html ?? ""}
</figure>`
      ).join("\n")
    }
${bench.tables.map(tableHtml).join("\n")}
${bench.html ?? ""}
</section>`
  );
  const links = benches.length < 2
    ? ""
    : `<nav>${
      benches.map(({ name, label = name }) => `<a href="#${name}">${escape(label)}</a>`).join(" ")
    } <a href="#provenance">provenance</a></nav>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; media-src data:">
<title>${escape(`${command}: ${model?.name ?? "wanstream"}`)}</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>${escape(model?.name ?? "wanstream")}</h1>
<p>${escape([adapter, date, command].filter((part) => part).join(" · "))}</p>
${warnings.map((warning) => `<p>Warning: ${escape(warning)}</p>`).join("\n")}
${links}
</header>
<main>
${sections.join("\n")}
<section id="provenance">
<h2>Provenance</h2>
${factsHtml({ ...provenance, model })}
</section>
</main>
</body>
</html>
`;
}

/** A table of a page. */
export function tableHtml({ title, columns, rows, notes = [] }: Table): string {
  const cells = (row: readonly (string | null)[], tag: "td" | "th") =>
    row.map((cell, i) =>
      i === 0 && tag === "td"
        ? `<th scope="row">${escape(cell ?? "")}</th>`
        : `<${tag}>${escape(cell ?? "–")}</${tag}>`
    ).join("");
  return `<h3>${escape(title)}</h3>
<div class="table"><table>
<thead><tr>${cells(columns, "th")}</tr></thead>
<tbody>
${rows.map((row) => `<tr>${cells(row, "td")}</tr>`).join("\n")}
</tbody>
</table></div>
${notes.map((note) => `<p class="note">${escape(note)}</p>`).join("\n")}`;
}

/** Simple facts as a list, nested ones as JSON behind a click. */
export function factsHtml(facts: Record<string, unknown>): string {
  const entries = Object.entries(facts).filter(([, value]) => value !== undefined);
  const simple = entries.filter(([, value]) => value === null || typeof value !== "object");
  const nested = entries.filter(([, value]) => value !== null && typeof value === "object");
  const text = (value: unknown) => escape(JSON.stringify(value, null, 2));
  return `<dl>${
    simple.map(([key, value]) =>
      `<dt>${escape(key)}</dt><dd>${escape(String(value ?? "not known"))}</dd>`
    ).join(
      "\n",
    )
  }</dl>
${
    nested.map(([key, value]) =>
      `<details><summary>${escape(key)}</summary><pre>${text(value)}</pre></details>`
    ).join("\n")
  }`;
}

/** A text as it stands in HTML, in attributes too. */
export function escape(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
  };
  return text.replace(/[&<>"]/g, (letter) => entities[letter] ?? letter);
}

/** How pages look. */
export const style = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6673; --ground: #fbfbf9; --line: #dcdfe3; --tint: #f1f2ef; --link: #2a68a3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e7ec; --soft: #9aa5b1; --ground: #15191f; --line: #303843; --tint: #1d232b; --link: #7fb3e2; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
header, main { max-width: 76rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 3rem 0 0.5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); font-weight: 600; }
h3 { font-size: 1rem; margin: 2rem 0 0.25rem; font-weight: 600; }
header p, figure p, .note { color: var(--soft); max-width: 44rem; margin: 0.25rem 0 0.75rem; font-size: 0.92rem; }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; margin-top: 1rem; }
a { color: var(--link); }
figure { margin: 0; }
.plot, .table { overflow-x: auto; }
.plot svg { display: block; max-width: 100%; height: auto; color: var(--ink); }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: 0.28rem 0.6rem; text-align: right; }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; border-bottom: 1px solid var(--line); }
tbody th { font-weight: 400; white-space: pre; }
.conversation td, .conversation th { white-space: normal; text-align: left; }
tbody tr:nth-child(even) { background: var(--tint); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.5rem; font-size: 0.92rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; max-width: 60rem; }
dd ul { margin: 0; padding-left: 1.1rem; }
section > p { max-width: 44rem; }
.wrong > summary { font-weight: 600; }
details { margin: 0.4rem 0; }
summary { cursor: pointer; }
pre { overflow-x: auto; padding: 1rem; background: var(--tint); border-radius: 6px; font-size: 0.82rem; line-height: 1.45; }
main { padding-bottom: 4rem; }
`;
