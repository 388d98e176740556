/**
 * The page: one file with the runs' data, the plotting library and a script. It asks for nothing, and its
 * policy lets nothing in: the browser runs the scripts that are listed by their digests, and no other.
 */
import { createHash } from "node:crypto";
import { findPackageJSON } from "node:module";
import { dirname, join } from "node:path";
import { escape, style, theme } from "../reports/report.ts";
import { RunError } from "../system/errors.ts";
import { differences } from "./differences.ts";
import { axes, colours, gutter, margin, specs, stages } from "./plots.ts";
import { dataElement, type RunData } from "./run_data.ts";
import kit from "./view/kit.js" with { type: "text" };
import lanes from "./view/lanes.js" with { type: "text" };
import opened from "./view/opened.js" with { type: "text" };
import view from "./view/view.js" with { type: "text" };
import look from "./view/view.css" with { type: "text" };

/** Vega and Vega-Lite as a page takes them. */
export type PlotLibrary = readonly string[];

/**
 * Reads the library from npm's packages.
 *
 * @throws RunError when they can't be had.
 */
export async function plotLibrary(): Promise<PlotLibrary> {
  // In templates, so that Deno fetches the packages only where a page is made.
  const packages = [["vega", "6.4.0"], ["vega-lite", "6.5.0"]] as const;
  try {
    return await Promise.all(packages.map(async ([name, version]) => {
      // What a package lets be imported; the file for browsers lies beside it.
      await import(`npm:/${name}@${version}/${name}-schema.json`, { with: { type: "json" } });
      const found = findPackageJSON(name, import.meta.url);
      return await Deno.readTextFile(join(dirname(found ?? ""), "build", `${name}.min.js`));
    }));
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : error;
    throw new RunError(`the page's plots can't be had (${why}): is npm's registry reachable?`);
  }
}

/** The page of one run, or of two side by side. */
export function inspectPage(runs: readonly RunData[], library: PlotLibrary): string {
  const [one, two] = runs;
  const data = {
    ...{ runs, specs, theme, stages, colours, gutter, margin, axes },
    differences: one && two ? differences(one, two) : null,
  };
  // Modules, so that each has its own names; they run in this order, after the library.
  const scripts = [
    ...library.map((text) => ({ text, type: "" })),
    ...[kit, lanes, opened, view].map((text) => ({ text, type: ' type="module"' })),
  ];
  // The library turns its own specifications into functions: 'unsafe-eval'.
  const digests = scripts.map(({ text }) =>
    `'sha256-${createHash("sha256").update(text).digest("base64")}'`
  );
  const policy = [
    "default-src 'none'",
    `script-src ${digests.join(" ")} 'unsafe-eval'`,
    "style-src 'unsafe-inline'",
    "img-src data:",
    "media-src blob:",
  ].join("; ");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escape(`inspect: ${runs.map(({ name }) => name).join(" beside ")}`)}</title>
<style>${style}${look}</style>
</head>
<body>
<div id="page"></div>
${dataElement(data)}
${scripts.map(({ text, type }) => `<script${type}>${text}</script>`).join("\n")}
</body>
</html>
`;
}
