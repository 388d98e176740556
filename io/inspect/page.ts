/**
 * The page: one file with the runs' data, the plotting library and a script. It asks for nothing, and its
 * policy lets nothing in: the browser runs the scripts that are listed by their digests, and no other.
 */
import { createHash } from "node:crypto";
import { InputError } from "../../engine/config/errors.ts";
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

/**
 * The page of one run, or of two side by side.
 *
 * @param library The scripts of `plotLibrary()`.
 * @throws InputError when two runs' units last differently, RunError when a page can't hold so much.
 */
export function inspectPage(runs: readonly RunData[], library: readonly string[]): string {
  const [one, two] = runs;
  if (one && two && one.unitMs !== two.unitMs) {
    throw new InputError(
      `units of ${one.unitMs} ms (${one.name}) and of ${two.unitMs} ms (${two.name}) don't stand ` +
        "on one timeline: look at each page by itself",
    );
  }
  try {
    return pageText(runs, library);
  } catch (error) {
    // The longest text that JavaScript holds, 512 MB.
    if (!(error instanceof RangeError)) throw error;
    throw new RunError(
      "the page would be too long: --inspect-last with fewer seconds makes it short",
    );
  }
}

function pageText(runs: readonly RunData[], library: readonly string[]): string {
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
