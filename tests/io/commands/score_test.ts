/** The command `score`: what it prints of recordings that were laid out, in every form. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { run } from "../../../io/commands/score.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { draw } from "../../../io/reports/report.ts";
import { levelScores } from "../../../io/score/activity.ts";
import { random } from "../../reference/random.ts";
import { chromium, rendered } from "../chromium.ts";
import { captured } from "../eval/players.ts";
import { folderTest } from "../media.ts";
import { assertSchema } from "../schemas.ts";

/** A detector that needs no package: level alone. */
const byLevel = () =>
  Promise.resolve({
    scores: (sounds: readonly Float32Array[]) => Promise.resolve(sounds.map(levelScores)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });

/** Noise as loud as speech from one window of 32 ms to another, as WAV. */
async function talk(path: string, windows: number, speech: [from: number, to: number][]) {
  await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
  const next = random(windows);
  const sound = new Float32Array(windows * 512);
  for (const [from, to] of speech) {
    for (let i = from * 512; i < to * 512; i++) sound[i] = 0.2 * (2 * next() - 1);
  }
  const wav = await WavWriter.create(path, 16000);
  await wav.write(sound);
  await wav.close();
}

/** In windows: two questions, the second of which interrupts an answer, and a word in between. */
const user: [number, number][] = [[10, 60], [130, 200], [300, 420]];
const agent: [number, number][] = [[75, 150], [210, 260], [340, 360]];

/** Two conversations whose agent answers `late` windows later than the other system's. */
async function system(folder: string, late: number, sides = ["user", "agent"]): Promise<string> {
  for (const name of ["one", "two"]) {
    await talk(`${folder}/${name}/${sides[0]}.wav`, 500, user);
    const later = agent.map(([from, to]): [number, number] => [from + late, to + late]);
    await talk(`${folder}/${name}/${sides[1]}.wav`, 500, later);
  }
  return folder;
}

async function score(...args: string[]) {
  const { result, out, err } = await captured(() => run(args, { judges: "/none" }, byLevel));
  assertEquals(result, 0, err);
  return { out, err };
}

async function scoreJson(...args: string[]) {
  const json = JSON.parse((await score(...args, "--json")).out);
  assertSchema(json);
  return json;
}

interface Figure {
  key: string;
  side: string | null;
  value: number | null;
  interval: [number, number] | null;
  events: number;
}

/** A system's figures by name and side. */
const byName = ({ figures }: { figures: Figure[] }) =>
  new Map(figures.map((figure) => [`${figure.key} ${figure.side}`, figure]));

folderTest("score measures two systems beside each other, to the window", async (folder) => {
  const [near, far] = [await system(`${folder}/near`, 0), await system(`${folder}/far`, 5)];
  const json = await scoreJson(near, far);
  const [one, two] = json.systems.map(byName);
  const window = 0.032;
  for (
    const [name, value, events] of [
      ["turns user", 6, 6],
      ["turns agent", 4, 4],
      ["answered agent", 4 / 6, 6],
      ["latencyP50 agent", 10 * window, 4],
      ["latencyP10 agent", null, 4],
      ["bargeIns user", 2, 2],
      ["bargeIns agent", 0, 0],
      ["stopLatencyP50 agent", 20 * window, 2],
      ["backchannels agent", 2, 2],
      ["backchannelsPerMinute agent", 60 * 2 / (2 * 240 * window), 2],
      ["talkRatio agent", 145 / 385, 2],
      ["overlap null", 40 / 345, 2],
      ["silence null", 155 / 500, 2],
    ] as const
  ) {
    const figure = one.get(name);
    assertEquals(figure?.events, events, name);
    assert(
      value === null ? figure.value === null : Math.abs(figure.value - value) < 1e-3,
      `${name}: ${figure?.value}, not ${value}`,
    );
  }
  // Conversations that are alike give intervals without width.
  assertEquals(one.get("turns user").interval, [6, 6]);
  assert(Math.abs(two.get("latencyP50 agent").value - 15 * window) < 1e-3);
  assert(Math.abs(two.get("stopLatencyP50 agent").value - 25 * window) < 1e-3);
  // A conversation has its own figures, and what they come from.
  const [first] = json.systems[0].conversations;
  assertEquals([first.name, first.kind, first.seconds, first.delay], ["one", "pair", 16, 0]);
  assertEquals(byName(first).get("turns user")?.value, 3);
  assertEquals(first.voice.bargeIns, [{ side: "user", at: 4.16, stopLatency: 0.64 }]);
  assertEquals(json.provenance.settings.detectors.level, "-40 dB of full scale");

  const { out } = await score(near, far);
  for (const text of ["response latency p50, s", `${far}: 2 conversations`, "docs/score.md"]) {
    assertStringIncludes(out, text);
  }
  assertEquals(
    (await score(near, far, "--csv")).out.split("\r\n")[0],
    "system,conversation,key,side,value,low,high,events,byLevel",
  );
  assertStringIncludes((await score(near, "--markdown")).out, "| one |");
});

folderTest(
  "with user and agent swapped the figures are swapped, and a delay is the agent's",
  async (folder) => {
    const [as, other] = [
      await system(`${folder}/as`, 0),
      await system(`${folder}/other`, 0, ["agent", "user"]),
    ];
    const [one, two] = (await scoreJson(as, other)).systems.map(byName);
    let compared = 0;
    for (const { key, side, ...figure } of one.values()) {
      if (side === null) {
        assertEquals(two.get(`${key} null`), {
          ...two.get(`${key} null`),
          ...figure,
        });
      } // Pictures are the agent's alone.
      else if (two.has(`${key} user`)) {
        const swapped = two.get(`${key} ${side === "user" ? "agent" : "user"}`);
        assertEquals([swapped.value, swapped.events], [figure.value, figure.events], key);
        compared++;
      }
    }
    assert(compared > 20);
    const later = byName((await scoreJson(as, "--delay", "160")).systems[0]);
    assert(Math.abs((later.get("latencyP50 agent")?.value ?? 0) - 15 * 0.032) < 1e-3);
  },
);

folderTest(
  "score refuses what can't be scored in one line, and names what it leaves out",
  async (folder) => {
    const whole = await system(`${folder}/whole`, 0);
    await Deno.writeTextFile(`${folder}/page.html`, "");
    for (
      const [args, message] of [
        [[], "score needs a folder of conversations"],
        [[whole, whole], "is given twice: give it once"],
        [[whole, "--mouth", "1,0,0,1"], "--mouth: '1,0,0,1' should be four numbers"],
        [[whole, "--judges", "wrods"], "--judges: 'wrods' is none of words, quality, voice, all"],
        [
          [whole, "--judges", "all"],
          "--judges: they aren't installed: run 'deno task setup --judges'",
        ],
        [[whole, "--json", "--csv"], "standard output takes one of them"],
        [[whole, "--report", `${folder}/page.html`], "exists: add --force"],
        [[`${folder}/none`], "there is no such file"],
      ] as const
    ) {
      const error = await assertRejects(() => score(...args), InputError);
      assertStringIncludes(error.message, message);
      assert(!error.message.includes("\n"));
    }
    await talk(`${folder}/whole/three/user.wav`, 10, []);
    await Deno.writeFile(`${folder}/whole/three/agent.wav`, new Uint8Array());
    const { out, err } = await score(whole);
    assertStringIncludes(err, "three/agent.wav: is empty");
    assertStringIncludes(out, "2 conversations, 0.5 min, 1 left out");
  },
);

folderTest("judges are asked of both sides, and named", async (folder) => {
  const whole = await system(`${folder}/whole`, 0);
  const python = `${folder}/judges/.venv/bin/python`;
  await Deno.mkdir(`${folder}/judges/.venv/bin`, { recursive: true });
  const answer = (quality: string) =>
    `{"words":[{"text":"hi","from":0.4,"to":0.6}],"quality":${quality},"constancy":null}`;
  const script = (lines: string) =>
    `#!/bin/sh\n[ "$2" = words,quality ] || exit 1\necho '{"words":"W 1","quality":"Q 2"}'\n${lines}\n`;
  const judged = async (lines: string) => {
    await Deno.writeTextFile(python, script(lines), { mode: 0o700 });
    const args = [whole, "--judges", "words,quality", "--json"];
    return await captured(() => run(args, { judges: `${folder}/judges` }, byLevel));
  };
  const { out } = await judged(
    `while read -r line; do\n  [ -f "$(expr "$line" : '.*path":"\\([^"]*\\)')" ] || exit 1\n  echo '${
      answer("3.5")
    }'\ndone`,
  );
  const json = JSON.parse(out);
  assertSchema(json);
  assertEquals(json.provenance.settings.judges, { words: "W 1", quality: "Q 2" });
  const figures = byName(json.systems[0]);
  assertEquals(figures.get("quality agent")?.value, 3.5);
  assertEquals(figures.get("constancy agent")?.value, null);
  const [{ judged: { user } }] = json.systems[0].conversations;
  assertEquals(user.words, [{ text: "hi", from: 0.4, to: 0.6 }]);
  for (
    const [lines, message] of [
      ['read -r line; echo \'{"error":"no sound"}\'; read -r line', "--judges: no sound"],
      ["read -r line; echo 'out of memory' >&2", "--judges: they ended (out of memory)"],
      [`read -r line; echo '${answer("9")}'; read -r line`, "--judges: quality is 9"],
    ] as const
  ) {
    const error = await assertRejects(() => judged(lines));
    assertStringIncludes(`${error}`, message);
  }
});

const cannotDraw = await draw([]).then(() => null, (error: Error) => error.message);
const why = cannotDraw ?? (chromium ? null : "no Chromium on PATH");
const name = "Chromium shows a timeline of each conversation, and fetches nothing";
if (why !== null) Deno.test({ name: `${name} (skipped: ${why})`, ignore: true, fn: () => {} });
else {
  folderTest(name, async (folder) => {
    const [near, far] = [await system(`${folder}/near`, 0), await system(`${folder}/far`, 5)];
    const page = `${folder}/score.html`;
    await score(near, far, "--report", page);
    const text = await Deno.readTextFile(page);
    assert(!/<script|<link|\ssrc=|@import|url\(["']?http|\b(NaN|undefined)\b/i.test(text));
    // Whatever the browser fetches it asks of this proxy.
    const asked: string[] = [];
    await using proxy = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      ({ url }) => {
        // The browser has errands of its own.
        if (!/\.(google|googleapis|gvt1)\.com[:/]/.test(url)) asked.push(url);
        return new Response(null, { status: 404 });
      },
    );
    const { port } = proxy.addr;
    const viaProxy = `--proxy-server=http://127.0.0.1:${port}`;
    const planted = `${folder}/planted.html`;
    await Deno.writeTextFile(planted, '<img src="http://planted.test/x.png">');
    await rendered(planted, folder, viaProxy);
    assertEquals(asked.splice(0), ["http://planted.test/x.png"]);
    const dom = await rendered(page, folder, viaProxy);
    for (const id of ["timeline-1-1", "timeline-1-2", "timeline-2-1", "timeline-2-2"]) {
      const [, rest = ""] = dom.split(`<figure id="plot-${id}">`);
      const [figure = ""] = rest.split("</figure>");
      // Bars of speech, lines of latency (also the user's), a triangle of the barge-in.
      for (const [mark, count] of [["rect", 6], ["rule", 3], ["symbol", 1]] as const) {
        const groups = [
          ...figure.matchAll(new RegExp(`mark-${mark} role-mark [^>]*>(.*?)</g>`, "gs")),
        ];
        const paths = groups.flatMap(([, group = ""]) => group.match(/<(path|line)/g) ?? []);
        assertEquals(paths.length, count, `${id}: ${mark}`);
      }
    }
    assertEquals(asked, []);
  });
}
