import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import type { KernelFigure } from "../../../io/bench/kernels.ts";
import {
  growthPlot,
  intervalPlot,
  latencyPlot,
  longPlot,
  peersPlot,
  rooflinePlot,
  stagePlot,
  startPlot,
} from "../../../io/reports/plots.ts";
import { type Bench, checkReport, draw, writeReport } from "../../../io/reports/report.ts";
import { provenanceOf, startRun } from "../../../io/provenance/provenance.ts";
import { chromium, rendered } from "../chromium.ts";
import { folderTest } from "../media.ts";
import { adapterTest, bench } from "./support.ts";

const cannotDraw = await draw([]).then(() => null, (error: Error) => error.message);

/** A test that draws; where nothing can be drawn it is skipped, and its name says why. */
function drawingTest(name: string, fn: (folder: string) => Promise<void>, more?: string): void {
  const why = cannotDraw ?? more;
  if (why === undefined) folderTest(name, fn);
  else Deno.test({ name: `${name} (skipped: ${why})`, ignore: true, fn: () => {} });
}

function kernel(name: string, flops: number, ms: number): KernelFigure {
  const [bytes, launches] = [1e6, 2];
  return {
    ...{ stage: "solve", kernel: name, label: `${name} <0>`, launches, ms, quartiles: [ms, ms] },
    ...{ flops, bytes, gigaflops: flops / ms / 1e6, gigabytes: bytes / ms / 1e6 },
    kind: "other",
    gpuMs: null,
    ceilingFraction: 0.5,
  };
}

/** Every plot there is, with a few points each. */
const benches: Bench[] = [{
  name: "all",
  headline: "all & <everything>",
  figures: {},
  tables: [{ title: "T", columns: ["a", "b"], rows: [["<x>", null]], notes: ['a "note"'] }],
  plots: [
    rooflinePlot(
      [kernel("matmul", 1e8, 2), kernel("attention", 1e7, 3), kernel("rmsnorm", 1e5, 0.1)],
      { gigaflops: 80, gigabytes: 10 },
    ),
    growthPlot([0, 10, 20].map((units) => ({ series: "s", units, tokens: units, ms: 50 + units }))),
    stagePlot([{
      ...{
        placement: "split",
        schedule: "paper",
        unitMs: 80,
        p95Ms: 90,
        realTimeFactor: 0.5,
        openingMs: 1,
      },
      stages: { encode: 5, pass: 10, sendSlice: 1, solve: 30, sendLatents: 1, decode: 20 },
      ...{ thinkerBytes: 1, performerBytes: 1 },
    }], 160),
    latencyPlot([{ name: "r", ms: [100, 120, 90] }]),
    longPlot([1, 2, 3].map((minute) => ({ minute, rssBytes: 1e8, tickMs: 70 }))),
    peersPlot([{ work: "w", library: "a", ratio: 1 }, { work: "w", library: "b", ratio: 30 }]),
    ...[true, false].map((shared) =>
      intervalPlot([
        { name: "answers right", value: 0.9, low: 0.8, high: 0.95, stands: true },
        { name: "missed questions", value: 0, low: 0, high: 0, stands: false },
      ], { id: `intervals-${shared}`, title: "t", note: "n", shared, zero: !shared })
    ),
    intervalPlot(
      ["speed", "length"].flatMap((name) =>
        ["one", "another"].map((row) => ({ name, row, value: 3, low: 2, high: 4, stands: true }))
      ),
      { id: "rows", title: "t", note: "n", shared: false, zero: false },
    ),
    startPlot([{ what: "modules", ms: 100 }, { what: "rest", ms: -5 }]),
  ],
}];
const model = { name: "m", config: { hidden_size: 7 } };
const provenance = await provenanceOf(startRun("bench"));

drawingTest(
  "writeReport() draws every plot into a page that needs nothing else",
  async (folder) => {
    const page = `${folder}/page.html`;
    await writeReport(page, { provenance, model, benches });
    const text = await Deno.readTextFile(page);
    for (const reference of [/<script/i, /<link/i, /\ssrc=/i, /@import/i, /url\(["']?http/i]) {
      assert(!reference.test(text), `${reference} in the page`);
    }
    assertEquals((text.match(/<svg /g) ?? []).length, 10);
    // Rows of one name stand on one axis.
    const [, rows = ""] = text.split('<figure id="plot-rows">');
    const drawn = (word: string) => rows.split("</figure>", 1)[0]?.split(`>${word}<`).length;
    assertEquals(["speed", "length", "another"].map(drawn), [2, 2, 3]);
    assertStringIncludes(text, "all &amp; &lt;everything&gt;");
    assertStringIncludes(text, "&quot;hidden_size&quot;: 7");
    assert(!/NaN|undefined/.test(text));
  },
);

drawingTest("Chromium shows the report's plots, their marks within them", async (folder) => {
  const page = `${folder}/page.html`;
  await writeReport(page, { provenance, model, benches });
  const dom = await rendered(page, folder);
  for (const { id } of benches.flatMap(({ plots }) => plots)) {
    const [, rest = ""] = dom.split(`<figure id="plot-${id}">`);
    const [figure = ""] = rest.split("</figure>");
    assertStringIncludes(figure, "<svg", id);
    // Marks of data, not only axes.
    assert(/class="mark-(symbol|line|rect) role-mark/.test(figure), id);
  }
  assertStringIncludes(dom, "hidden_size");
}, chromium ? undefined : "no Chromium on PATH");

const writes = "bench --report writes a page, and never over another";
if (cannotDraw !== null) drawingTest(writes, () => Promise.resolve());
else {
  adapterTest(writes, async (model) => {
    const folder = await Deno.makeTempDir({ prefix: "wanstream-report-" });
    try {
      const args = ["long", ...model, "--minutes-of-stream", "0.02", "--report"];
      const first = await bench([...args, `${folder}/long.html`]);
      const said = first.stderr.split("\n").filter((line) => !line.startsWith("warning: "));
      assertEquals([first.code, said], [0, [""]]);
      const text = await Deno.readTextFile(`${folder}/long.html`);
      for (const part of ["plot-long", "--minutes-of-stream", "history_units"]) {
        assertStringIncludes(text, part);
      }
      const again = await bench([...args, `${folder}/long.html`]);
      assertEquals([again.code, again.stdout], [2, ""]);
      assertStringIncludes(again.stderr, "add --force");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

folderTest("checkReport() refuses a page that could not be written", async (folder) => {
  await Deno.mkdir(`${folder}/a.html`);
  await Deno.writeTextFile(`${folder}/b.html`, "");
  for (const name of ["c.txt", "a.html", "b.html/c.html"]) {
    await assertRejects(() => checkReport(`${folder}/${name}`, true), InputError, name);
  }
  const reserved = () => checkReport("/proc/c.html", true);
  await assertRejects(reserved, InputError, "Deno keeps programs from opening files");
  await assertRejects(() => checkReport(`${folder}/b.html`, false), InputError, "--force");
  await checkReport(`${folder}/b.html`, true);
  await checkReport(`${folder}/c.html`, false);
  // A folder that isn't there is made when the page is written, not before.
  await checkReport(`${folder}/none/below/c.html`, false);
  const left = await Array.fromAsync(Deno.readDir(folder));
  assertEquals(left.map(({ name }) => name).sort(), ["a.html", "b.html"]);
});
