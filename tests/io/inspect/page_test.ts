import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { run as inspectCommand } from "../../../io/commands/inspect.ts";
import { run as replay } from "../../../io/commands/replay.ts";
import { run as stream } from "../../../io/commands/stream.ts";
import { partingText } from "../../../io/inspect/differences.ts";
import { inspectPage } from "../../../io/inspect/page.ts";
import { plotLibrary } from "../../../io/reports/report.ts";
import { readRun, type RunData } from "../../../io/inspect/run_data.ts";
import { RunError } from "../../../io/system/errors.ts";
import { assertInputError } from "../../engine/tiny_checkpoint.ts";
import { chromium, Tab } from "../chromium.ts";
import { echo } from "../echo_replay.ts";
import { ffmpeg, ffmpegTest, finder, make, picture, tone } from "../media.ts";
import { hostile, type MadeUp, madeUp } from "./made_up.ts";

const library = await plotLibrary().catch((error: Error) => error.message);

/** A test with a page; where there is no library of plots it is skipped, and its name says why. */
function pageTest(name: string, fn: (folder: string) => Promise<void>): void {
  if (typeof library !== "string") ffmpegTest(name, fn);
  else Deno.test({ name: `${name} (skipped: ${library})`, ignore: true, fn: () => {} });
}

async function dataOf(run: MadeUp): Promise<RunData> {
  const data = ffmpeg && await (await madeUp(run)).data(await finder());
  if (!data) throw new Error("the made-up run has no data");
  return data;
}

/** The page of runs. */
function pageOf(...runs: RunData[]): string {
  return inspectPage(runs, typeof library === "string" ? [] : library);
}

async function open(folder: string, page: string): Promise<Tab> {
  await Deno.writeTextFile(`${folder}/page.html`, page);
  const tab = await Tab.open(`${folder}/page.html`, folder);
  await tab.until("document.documentElement?.dataset.ready");
  return tab;
}

/** Marks of data in a plot, axes left out. */
const marksOf = (plot: string) =>
  `document.querySelectorAll('[data-plot=${plot}] :is(.mark-rect,.mark-area,.mark-line,.mark-symbol) path').length`;

/** A browser's test of a page. */
function browserTest(name: string, fn: (folder: string) => Promise<void>): void {
  if (chromium) pageTest(name, fn);
  else Deno.test({ name: `${name} (skipped: no Chromium on PATH)`, ignore: true, fn: () => {} });
}

browserTest(
  "the page draws its plots, opens a unit on click and by keyboard, and asks for nothing",
  async (folder) => {
    await using tab = await open(folder, pageOf(await dataOf({ units: 60 })));
    for (const plot of ["wave_user", "wave_agent", "active", "speak", "entropy", "stages"]) {
      await tab.until(`${marksOf(plot)} > 0`);
    }
    assertEquals(await tab.evaluate("document.querySelectorAll('.frame').length > 4"), true);
    // What a user typed is text, and nothing else.
    assertEquals(
      await tab.evaluate("document.querySelector('.user_words .word').textContent"),
      `⌨ ${hostile}`,
    );
    assertEquals(await tab.evaluate("document.title"), "inspect: made up");
    const signs = await tab.evaluate(
      "[...document.querySelectorAll('.sign')].map((sign) => sign.textContent).join()",
    );
    assertEquals(signs, "lost ↑,rebuilt,!,lost ↓");

    // Unit 10 of the 40 that are shown: the middle of its column.
    const point = await tab.evaluate(`(() => {
    const { left, top, width } = document.querySelector('[data-lane=speak]').getBoundingClientRect();
    const { gutter, margin } = kit.data;
    return [left + gutter + (10.5 / 40) * (width - gutter - margin), top + 20];
  })()`) as [number, number];
    await tab.click(...point);
    const opened = () => tab.evaluate("document.getElementById('opened').dataset.unit");
    assertEquals(await opened(), "10");
    for (const plot of ["shares", "layers", "path"]) await tab.until(`${marksOf(plot)} > 0`);
    const text = String(await tab.evaluate("document.getElementById('opened').innerText"));
    for (
      const part of ["Unit 10, 1.60 to 1.76 s", "␣red10", "agent audio", "probability of speaking"]
    ) {
      assertStringIncludes(text, part);
    }
    await tab.press("Escape");
    assertEquals(await tab.evaluate("document.getElementById('opened').hidden"), true);
    await tab.press("ArrowRight");
    await tab.press("ArrowRight");
    await tab.press("Enter");
    assertEquals(await opened(), "12");
    await tab.press("w");
    assertEquals(await opened(), "14");
    for (let i = 0; i < 2; i++) await tab.press("ArrowLeft");
    await tab.press("ArrowLeft");
    assertEquals(await opened(), "11");

    // The cursor runs with the sound, which the page holds.
    await tab.press("Escape");
    await tab.evaluate("document.getElementById('play').click()");
    await tab.until("document.getElementById('time').textContent > '1.90'");
    assertEquals([tab.asked, tab.errors], [[], []]);
  },
);

browserTest("two runs stand side by side, with the unit in which they part", async (folder) => {
  const [one, two] = [
    await dataOf({ units: 30, name: "one" }),
    await dataOf({ units: 30, name: "two", partsAt: 13 }),
  ];
  await using tab = await open(folder, pageOf(one, two));
  const table = String(await tab.evaluate("document.getElementById('differences').innerText"));
  assertStringIncludes(table, "The first one in which they differ is unit 13: latents.");
  assertStringIncludes(table, "' red14' (token 7)");
  assertStringIncludes(table, "' blue14' (token 8)");
  await tab.evaluate("document.querySelector('#differences button').click()");
  const opened = String(await tab.evaluate("document.getElementById('opened').innerText"));
  for (const part of ["Unit 13", "Differs: latents.", "run A", "run B"]) {
    assertStringIncludes(opened, part);
  }
  assertEquals([tab.asked, tab.errors], [[], []]);
});

browserTest("a cascade's page tells which module decided what", async (folder) => {
  await using tab = await open(folder, pageOf(await dataOf({ units: 30, cascade: true })));
  assertEquals(await tab.evaluate("document.querySelector('[data-lane=speak]').hidden"), true);
  await tab.evaluate("document.getElementById('runs').focus()");
  await tab.press("e");
  await tab.press("Enter");
  for (let i = 0; i < 5; i++) await tab.press("ArrowRight");
  const opened = String(await tab.evaluate("document.getElementById('opened').innerText"));
  for (const part of ["Unit 10", "What the modules decided", "read", "heard", hostile, "speak"]) {
    assertStringIncludes(opened, part);
  }
  assertEquals(await tab.evaluate("document.title"), "inspect: made up");
  assertEquals([tab.asked, tab.errors], [[], []]);
});

pageTest(
  "replay --inspect: a minute's page is small, its time is in the table; two pages make a third",
  async (folder) => {
    const h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
    await make(...picture(16, "64x64"), ...tone(16), ...h264, "-c:a", "aac", `${folder}/in.mp4`);
    const answer = (name: string, ...more: string[]) =>
      replay([
        ...[
          `${folder}/in.mp4`,
          "-o",
          `${folder}/${name}.wav`,
          "--inspect",
          `${folder}/${name}.html`,
        ],
        ...["--events", `${folder}/${name}.jsonl`, "--quiet", ...more],
      ], echo().open);
    assertEquals(await answer("a"), 0);
    const { size } = await Deno.stat(`${folder}/a.html`);
    const libraryBytes = typeof library === "string" ? 0 : library.join("").length;
    const minuteBytes = libraryBytes + (size - libraryBytes) * 60 / 16;
    assert(size > 1e6 && minuteBytes < 15e6, `${minuteBytes} bytes a minute`);
    const run = await readRun(`${folder}/a.html`);
    assertEquals([run.units.length, run.units[0]?.unit, run.name], [
      100,
      0,
      "in.mp4, seed unknown",
    ]);
    assert(run.units.every(({ pictures }) => pictures.user && pictures.agent));
    const lines = (await Deno.readTextFile(`${folder}/a.jsonl`)).trimEnd().split("\n");
    const [unit, summary] = [lines[1], lines.at(-1)].map((line) => JSON.parse(line ?? ""));
    assert(unit.ms.inspect >= 0 && summary.latencyMs.inspect.p50 >= 0);

    // A page of the end alone, beside one of another length.
    assertEquals(await answer("b", "--inspect-last", "2", "--units", "50"), 0);
    const last = await readRun(`${folder}/b.html`);
    assertEquals([last.units.length, last.units[0]?.unit, last.notes.length], [13, 37, 2]);
    const [a, b, c] = ["a", "b", "c"].map((name) => `${folder}/${name}.html`) as [
      string,
      string,
      string,
    ];
    assertEquals(await inspectCommand([a, b, "-o", c]), 0);
    assertStringIncludes(await Deno.readTextFile(c), '"common":13');
    await assertInputError(() => readRun(c), "2 runs");
    await assertInputError(() => inspectCommand([a, b, "-o", c]), "--force");
    await assertInputError(() => inspectCommand([a, "-o", c]), "2 pages");
    await assertInputError(
      () => inspectCommand([a, `${folder}/in.mp4`, "-o", c, "--force"]),
      "no page",
    );
    await assertInputError(() => answer("d", "--inspect-last", "0"), "--inspect-last");
  },
);

pageTest("a page that was edited or cut off is refused in one line", async (folder) => {
  const path = `${folder}/page.html`;
  const whole = pageOf(await dataOf({ units: 4 }));
  await Deno.writeTextFile(path, whole);
  await readRun(path);
  const edits: [string | RegExp, string][] = [
    [/\{"unit":0,/, '{"unit":7,'],
    [/"units":\[\{"unit.*?,"happened"/s, '"units":[],"happened"'],
    ['"session":{', '"session":null,"was":{'],
    ['"seeds":{', '"seeds":null,"was":{'],
    [/"digest":"0[^"]*"/, '"digest":12'],
    [/"level":\{[^}]*\}/, '"level":null'],
    [/"inside":\{/, '"inside":[],"was":{'],
    [/"wav":"...../, '"wav":"<img>'],
    [/"wav":"..../, '"wav":"'],
    [/"velocity":[0-9.]+/, '"velocity":"fast"'],
    ['"unitMs":160,"filler"', '"unitMs":-1,"filler"'],
    ['"runs":[', '"runs":[null,'],
    [/"happened":\[/, '"happened":[{"type":"recovery","unit":1},'],
  ];
  for (const [from, to] of edits) {
    const edited = whole.replace(from, to);
    assert(edited !== whole, `${from}`);
    await Deno.writeTextFile(path, edited);
    await assertInputError(() => readRun(path), "no page").catch((error) => {
      throw new Error(`${from}: ${error.message}`);
    });
  }
  for (const part of [0, 0.2, 0.8]) {
    const length = whole.indexOf('<script type="application/json"') + 2000 * part;
    await Deno.writeTextFile(path, whole.slice(0, length));
    await assertInputError(() => readRun(path), "no page");
  }
  await assertInputError(() => readRun(`${path}.html`), "there is no such file");
});

pageTest("what doesn't stand on one timeline, or is too long for a page, is said", async () => {
  const one = await dataOf({ units: 4 });
  await assertInputError(async () => await pageOf(one, { ...one, unitMs: 320 }), "320 ms");
  const far = { ...one, units: one.units.map((unit) => ({ ...unit, unit: unit.unit + 100 })) };
  assertEquals(partingText([one, far]), "the runs have no unit in common");
  assertStringIncludes(pageOf(one, far), '"common":0');
  const long = {
    ...one,
    toJSON: () => {
      throw new RangeError("Invalid string length");
    },
  };
  assertThrows(() => pageOf(long), RunError, "--inspect-last");
});

Deno.test("inspect refuses options that mean nothing for what it shows", async () => {
  for (
    const [args, name] of [
      [["--seed", "3"], "--seed"],
      [["--force"], "--force"],
      [["a.html", "b.html", "-o", "c.html", "--network", "350ms"], "--network"],
      [["a.html", "b.html", "-o", "c.html", "--json"], "--json"],
      [["a", "--recording", "r", "-o", "c.html", "--presets"], "--presets"],
    ] as const
  ) await assertInputError(() => inspectCommand([...args]), `inspect: ${name} means nothing`);
});

pageTest("stream --inspect holds the end of a stream, and no more", async (folder) => {
  const mkv = ["-c:v", "mpeg4", "-c:a", "pcm_s16le"];
  await make(...picture(4, "64x64"), ...tone(4), ...mkv, `${folder}/in.mkv`);
  const page = `${folder}/page.html`;
  const args = ["-i", `${folder}/in.mkv`, "-o", `${folder}/out.mkv`, "--quiet"];
  await assertInputError(() => stream([...args, "--inspect-last", "1"], echo().open), "--inspect");
  await assertInputError(() => stream([...args, "--inspect", "a.txt"], echo().open), ".html");
  assertEquals(await stream([...args, "--inspect", page, "--inspect-last", "1"], echo().open), 0);
  const { units, notes } = await readRun(page);
  assertEquals([units.length, units.at(-1)?.unit], [7, 24]);
  assertStringIncludes(notes.join(), "it holds the last 1.12 s of the run");
});
