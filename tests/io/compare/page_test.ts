/** The page of a comparison, in a browser. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { chromium, rendered, Tab } from "../chromium.ts";
import { folderTest } from "../media.ts";
import { draw, writeReport } from "../../../io/reports/report.ts";
import { comparedTables } from "../../../io/compare/output.ts";
import { sweepTables } from "../../../io/compare/page.ts";
import { play, shortenSilent, silence } from "../eval/players.ts";
import { compared, config, names, openers, recordings, type Role } from "./fakes.ts";

const why = await draw([]).then(
  () => chromium ? null : "no Chromium on PATH",
  (error: Error) => error.message,
);
const browserTest = (name: string, fn: (folder: string) => Promise<void>) =>
  why === null
    ? folderTest(name, fn)
    : Deno.test({ name: `${name} (skipped: ${why})`, ignore: true, fn: () => {} });

browserTest(
  "the page has plots, sound and every conversation's questions, and fetches nothing",
  async (folder) => {
    const set = await recordings(folder);
    const trace = (unit: number) =>
      unit === 31 ? [{ unit, module: "read", what: "words", words: ["what", "<colour>"] }] : [];
    const open = openers(set, { quick: { late: 0 }, "cascade:x": { late: 2, trace } }, new Map());
    const page = `${folder}/page.html`;
    // Sound is there where every network loses units, too.
    const lossy = `${folder}/lossy.html`;
    await compared(
      ["quick", "cascade:x", set, "--report", lossy, "--quiet", "--network", "0ms,loss=20%"],
      open,
    );
    assertEquals((await Deno.readTextFile(lossy)).match(/<audio /g)?.length, 4);
    const network = "none;350ms";
    const args = [
      "quick",
      "cascade:x",
      set,
      "--report",
      page,
      "--picture",
      `${folder}/sweep.svg`,
      "--quiet",
      "--draws",
      "0",
      "--network",
      network,
    ];
    const { code, text } = await compared(args, open);
    assertEquals(code, 0);
    assertStringIncludes(text, "Settings and agents");
    assertStringIncludes(text, "Questions that went wrong, by what went wrong first");
    assertMatch(await Deno.readTextFile(`${folder}/sweep.svg`), /^<svg .*response delay/s);
    const source = await Deno.readTextFile(page);
    const links = [...source.matchAll(/(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)/g)]
      .map(([, to = ""]) => to);
    assertEquals(links.filter((to) => !/^(#|data:audio\/wav;base64,)/.test(to)), []);
    const dom = await rendered(page, folder, "--proxy-server=127.0.0.1:9");
    // The sweep, two networks with and without compute time, two conversations of two agents.
    assertEquals(dom.match(/<figure id="plot-/g)?.length, 1 + 4 + 4);
    assertEquals(dom.match(/<svg/g)?.length, 1 + 4 + 4);
    assertEquals(dom.match(/<audio [^>]*src="data:audio\/wav;base64,UklGR/g)?.length, 4);
    // Each sound with its timeline.
    assertEquals(
      dom.match(/<figure id="plot-timeline-\d">[^§]*?<audio [^§]*?<\/figure>/g)?.length,
      4,
    );
    assertEquals(dom.match(/<details class="conversation( wrong)?">/g)?.length, 2);
    assertStringIncludes(dom, "what &lt;colour&gt;");
    // The answer first, the configuration last, as people read it.
    const sections = [...dom.matchAll(/<section id="([^"]*)">/g)].map(([, id]) => id);
    assertEquals(sections, [
      ...["verdict", "turn-taking", "condition-1", "faults", "timelines", "conversations"],
      ...["protocol", "provenance"],
    ]);
    assertStringIncludes(dom, '<a href="#condition-1">quiet</a>');
    assertMatch(dom, /Too few events to tell how soon they answer/);
    const protocol = dom.slice(
      dom.indexOf('<section id="protocol">'),
      dom.indexOf('id="provenance"'),
    );
    assertStringIncludes(protocol, "what isn't equal");
    assertStringIncludes(protocol, "<li>late: 2</li>");
    assert(!/[{}]/.test(protocol), protocol);
    assertStringIncludes(
      dom,
      `wanstream inspect quick cascade:x --recording ${set}/${names[0]} -o ${names[0]}.html`,
    );
    // One caption for the lines, one for the timelines.
    assertEquals(dom.match(/The part of all spoken turns/g)?.length, 1);
    assertEquals(dom.match(/Bars: speech/g)?.length, 1);
  },
);

browserTest(
  "conversations with faults stand first, faults lead to them, and no table is cut off",
  async (folder) => {
    const set = `${folder}/set`;
    // Each with a question that leaves room for an answer. The second agent says nothing in one.
    const units = 60;
    for (const name of ["100000", "100001", "100002"]) await shortenSilent(name, set, units);
    const both: Record<string, Role> = { quick: { late: 0 }, "cascade:x": { late: 2 } };
    const open = openers(set, both, new Map());
    const late = { ...open };
    late.agent = async (spec, options) => {
      const agent = await open.agent(spec, options);
      if (spec.text === "quick") return agent;
      const mute = () =>
        play({
          texts: new Array(units).fill(""),
          media: Array.from({ length: units }, () => silence(config)),
        });
      return {
        ...agent,
        open: (given, seed) =>
          given.name === "100001" ? Promise.resolve(mute()) : agent.open(given, seed),
      };
    };
    const page = `${folder}/below/page.html`;
    const args = ["quick", "cascade:x", set, "--quiet", "--draws", "20"];
    args.push("--show", "100000,100001", "-o", `${folder}/out`);
    await compared([...args, "--report", page], late);
    const source = await Deno.readTextFile(page);
    const faults = source.slice(
      source.indexOf('<section id="faults">'),
      source.indexOf('<section id="timelines">'),
    );
    const links = [...faults.matchAll(/href="#([^"]*)"/g)].map(([, id = ""]) => id);
    assert(links.length > 0);
    for (const id of links) assertStringIncludes(source, ` id="${id}"`);
    assertStringIncludes(faults, '<a href="#plot-timeline-4">timeline</a>');
    const folds = [...source.matchAll(/<details class="conversation( wrong)?"><summary>([^<]*)/g)];
    const isFaulty = folds.map(([, wrong]) => wrong !== undefined);
    assertEquals(isFaulty, [...isFaulty].sort((a, b) => Number(b) - Number(a)));
    assert(isFaulty[0] && !isFaulty.at(-1), source);
    for (const [, wrong, summary = ""] of folds) {
      assertEquals(/[1-9]\d* faults?\b/.test(summary), wrong !== undefined, summary);
      assert(!/\b1 faults|[02-9] fault\b/.test(summary), summary);
    }
    // A link opens the fold that it leads into.
    const [first = ""] = links;
    const dom = await rendered(`${page}#${first}`, folder);
    assertMatch(dom, new RegExp(`<details class="conversation wrong" open="">[^§]*?id="${first}"`));
    assertEquals(await cutTables(page, folder), []);
    // With every figure and interval known, too.
    const known = { value: 1234.5, interval: [1111.1, 2222.2] as [number, number], events: 1234 };
    const part = { value: 0.5, interval: [0.123, 0.987] as [number, number], events: 1234 };
    const all = JSON.parse((await compared([...args, "--json"], late)).text);
    for (const { figures } of all.conditions) {
      for (const one of figures) Object.assign(one, { a: known, b: known, differs: false });
      for (const one of figures) one.difference = { value: -1234.5, interval: [-1111.1, 1234.5] };
    }
    for (const point of all.sweep.points) {
      Object.assign(point, { delay: known, delayP50: known, brokenPauses: part, missed: part });
    }
    const tables = [...all.conditions.flatMap(comparedTables), ...sweepTables(all.sweep)];
    const wide = `${folder}/wide.html`;
    const bench = { name: "wide", headline: "wide", figures: {}, plots: [], tables };
    await writeReport(wide, { provenance: all.provenance, model: null, benches: [bench] });
    assertEquals(await cutTables(wide, folder), []);
  },
);

/** The tables that a page cuts off in a window of 1200 pixels, every fold open. */
async function cutTables(page: string, folder: string): Promise<unknown> {
  await using tab = await Tab.open(page, folder, 1200);
  await tab.until("document.querySelector('#provenance')");
  await tab.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)");
  return await tab.evaluate(`[...document.querySelectorAll('.table')]
    .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)`);
}
