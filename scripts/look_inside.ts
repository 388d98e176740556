/**
 * What a checkpoint looks at, over recordings with truth records (docs/inspect.md, 'Found with it'):
 * at words, where it is interrupted, and in pauses of questions. Tables as Markdown on standard output.
 *
 *     deno run --allow-all scripts/look_inside.ts CHECKPOINT KEPT FOLDER... [--to-pause] [--cuts]
 *
 * KEPT is a folder for what was run: a recording that is there isn't run again. `--to-pause` ends each
 * 12 units after its last pause. `--cuts` also finds the unit whose picture decides a colour: from
 * snapshots before the word, it takes the pictures of FOLDER-card (the same conversation over other
 * cards) in place of some.
 */
import {
  attentionAxes,
  type Inspection,
  type Observation,
  openCheckpoint,
  openModel,
  type Snapshot,
} from "../engine/mod.ts";
import { observations } from "../io/mod.ts";
import { openRecording } from "../io/eval/recordings.ts";
import { truthRate } from "../io/eval/measures/truth.ts";

const [folder = "", kept = "", ...rest] = Deno.args.filter((arg) => !arg.startsWith("--"));
const toPause = Deno.args.includes("--to-pause");
const checkpoint = await openCheckpoint(folder);
await using model = await openModel(checkpoint);
await Deno.mkdir(kept, { recursive: true });

/** What is kept of a unit. */
interface Row extends Pick<Inspection, "filler"> {
  text: string;
  shares: number[];
}

const colours = ["red", "green", "blue", "yellow", "purple", "orange", "white"];
/** Which pictures are those of other cards, by the unit counted from the colour's. */
const exchanges: Record<string, (unit: number) => boolean> = {
  "that unit's alone": (unit) => unit === 0,
  "the one before alone": (unit) => unit === -1,
  "all from four before on": (unit) => unit >= -4,
  "all from the next on": (unit) => unit > 0,
};
const { groups, ages, queries } = attentionAxes;
const { num_hidden_layers: layers, unit_ms } = checkpoint.config;
const unitSamples = truthRate * unit_ms / 1000;
const unitOf = (sample: number) => Math.floor(sample / unitSamples);
const recordings = await Promise.all(rest.map((path) => openRecording(path)));
const typed = ({ truth }: typeof recordings[number], unit: number) => {
  const text = truth.timeline[unit]?.typed;
  return text === null || text === undefined ? {} : { text };
};

async function run(recording: typeof recordings[number]): Promise<Row[]> {
  const path = `${kept}/${recording.name}.json`;
  const before = await Deno.readTextFile(path).catch(() => null);
  if (before !== null) return JSON.parse(before);
  await using session = await model.openSession({}, { inspect: true });
  const rows: Row[] = [];
  const source = observations(recording.user, { layout: session.layout });
  const end = toPause
    ? 12 + Math.max(
      ...recording.truth.events.flatMap((event) =>
        event.type === "question" && !event.interrupts
          ? event.pauses.map(([, to]) => unitOf(to))
          : []
      ),
    )
    : Infinity;
  let given = 0;
  const all = (async function* () {
    for await (const one of source) {
      if (given > end) break;
      yield { ...one, ...typed(recording, given++) };
    }
  })();
  for await (const { text, inspection } of session.respond(all)) {
    if (!inspection) throw new Error("a response has no inspection");
    const shares = [...inspection.attention.shares].map((share) => Number(share.toFixed(5)));
    rows.push({ text, filler: inspection.filler, shares });
  }
  await Deno.writeTextFile(path, JSON.stringify(rows));
  return rows;
}

/** Mean share of some rows by query, layer, group and age. */
function meanShare(rows: readonly Row[], query: number, layer: number, group: number, age: number) {
  const at = ((query * layers + layer) * groups.length + group) * ages.length + age;
  return rows.reduce((sum, { shares }) => sum + (shares[at] ?? NaN), 0) / rows.length;
}

const print = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
const percent = (share: number) => `${Math.round(100 * share)}`;
const table = (head: string[], body: (string | number)[][]) =>
  print(
    [head, head.map(() => "---"), ...body].map((row) => `| ${row.join(" | ")} |`).join("\n") + "\n",
  );

/** By layer, in percent: this unit / the last 5 / older. */
function lookTable(title: string, rows: readonly Row[], query: "language" | "latents"): void {
  print(`${title}: ${query}, ${rows.length} units, % this unit / the last 5 / older\n`);
  const shown = groups.filter((group) => group !== "prefill");
  table(
    ["layer", ...shown],
    Array.from({ length: layers }, (_, layer) => [
      layer,
      ...shown.map((_, group) =>
        ages.map((_, age) => percent(meanShare(rows, queries.indexOf(query), layer, group, age)))
          .join(" / ")
      ),
    ]),
  );
}

const runs: { recording: typeof recordings[number]; rows: Row[] }[] = [];
for (const recording of recordings) runs.push({ recording, rows: await run(recording) });
const all = runs.flatMap(({ rows }) => rows);
const saying = (words: readonly string[]) => all.filter(({ text }) => words.includes(text.trim()));
lookTable("A colour is said", saying(colours), "language");
lookTable("'it' or 'is' is said", saying(["it", "is"]), "language");
lookTable("Nothing is said", all.filter(({ filler }) => filler > 0.999), "language");
lookTable("A colour is said", saying(colours), "latents");

/** Probability of speaking, and the shares of some groups over all layers, in units around moments. */
function around(
  moments: readonly (readonly [rows: Row[], unit: number])[],
  offsets: readonly number[],
) {
  table(
    [
      "unit",
      "n",
      "P(speaks)",
      "speaks",
      "user's voice, this unit",
      "user's voice, last 5",
      "own words and voice",
    ],
    offsets.map((offset) => {
      const rows = moments.flatMap(([rows, unit]) => rows[unit + offset] ?? []);
      const mean = (names: readonly typeof groups[number][], which: readonly number[]) =>
        percent(
          names.reduce((sum, name) =>
            sum + which.reduce((part, age) =>
              part + Array.from({ length: layers }, (_, layer) =>
                meanShare(rows, 0, layer, groups.indexOf(name), age) / layers).reduce((a, b) =>
                  a + b
                ), 0), 0),
        );
      const speaks = rows.map(({ filler }) => 1 - filler);
      return [
        offset,
        rows.length,
        (speaks.reduce((a, b) => a + b, 0) / rows.length).toFixed(2),
        speaks.filter((p) => p > 0.5).length,
        mean(["userAudio"], [0]),
        mean(["userAudio"], [1]),
        mean(["agentText", "agentAudio"], [0, 1, 2]),
      ];
    }),
  );
}

print("Interruptions of an agent that speaks; 0: the unit in which the user begins\n");
around(
  runs.flatMap(({ recording, rows }) =>
    recording.truth.events.flatMap((event) =>
      event.type === "interruption" &&
        [-1, 0].every((at) => (rows[event.onset + at]?.filler ?? 1) < 0.5)
        ? [[rows, event.onset] as const]
        : []
    )
  ),
  [-2, -1, 0, 1, 2, 3],
);

const pauses = runs.flatMap(({ recording, rows }) =>
  recording.truth.events.flatMap((event) =>
    event.type !== "question" || event.interrupts
      ? []
      : event.pauses.filter(([, to]) => unitOf(to) < rows.length).map(([from, to]) => {
        const units = rows.slice(unitOf(from) + 1, unitOf(to) + 1);
        const speaks = units.map(({ filler }) => 1 - filler);
        const begun = event.start * unitSamples;
        const past = (from - begun) / ((event.end + 1) * unitSamples - begun - (to - from));
        return {
          rows,
          event,
          name: recording.name,
          from: unitOf(from),
          past,
          ms: (to - from) / 16,
          most: Math.max(0, ...speaks),
          at: speaks.indexOf(Math.max(...speaks)) + 1,
        };
      })
  )
);
const broken = pauses.filter(({ most }) => most > 0.5);
print(`Pauses: ${pauses.length}, of which a word is said in ${broken.length}\n`);
table(
  ["recording", "question", "heard, %", "pause, ms", "from unit", "P(speaks), most", "units in"],
  pauses.toSorted((a, b) => b.most - a.most).slice(0, 12).map(
    ({ name, event, past, ms, from, most, at }) => [
      ...[name, event.text, percent(past), Math.round(ms), from, most.toFixed(2), at],
    ],
  ),
);
print(
  "The first silent unit: of pauses by how likely a word was, then after whole questions\n",
);
const firstSilent = (of: typeof pauses) => of.map(({ rows, from }) => [rows, from + 1] as const);
for (
  const moments of [
    firstSilent(pauses.filter(({ most }) => most > 0.1)),
    firstSilent(pauses.filter(({ most }) => most <= 0.1)),
    runs.flatMap(({ recording: { truth: { events } }, rows }) =>
      events.flatMap((event) =>
        event.type === "question" && !event.typed && !event.interrupts &&
          event.end + 3 < rows.length
          ? [[rows, event.end + 1] as const]
          : []
      )
    ),
  ]
) around(moments, [0, 1]);

/** Says a conversation again from a little before each colour, with some pictures of other cards. */
async function cuts(recording: typeof recordings[number], path: string) {
  const other = await openRecording(`${path}-card`);
  const [own, cards] = await Promise.all(
    [recording.user, other.user].map((user) =>
      Array.fromAsync(observations(user, { model: checkpoint }))
    ),
  );
  const observe = (unit: number, isOther: boolean): Observation => ({
    audio: null,
    ...own?.[unit],
    frames: (isOther ? cards : own)?.[unit]?.frames ?? null,
    ...typed(recording, unit),
  });
  await using session = await model.openSession();
  const found: { exchanged: string; said: string }[] = [];
  /** The newest snapshots, one each 4 units. */
  const snapshots: Snapshot[] = [];
  for (let unit = 0; unit < (own?.length ?? 0); unit++) {
    const word = (await session.step(observe(unit, false))).text.trim();
    if (unit % 4 === 3) snapshots.push(await session.snapshot());
    const snapshot = snapshots.findLast(({ meta }) => meta.unit <= unit - 8);
    if (!colours.includes(word) || !snapshot) continue;
    for (const [exchanged, isOther] of Object.entries(exchanges)) {
      await using fork = await model.openSession({}, { resume: snapshot });
      let said = "";
      for (let at = snapshot.meta.unit + 1; at <= unit + 2 && !colours.includes(said); at++) {
        said = (await fork.step(observe(at, isOther(at - unit)))).text.trim();
      }
      const kind = said === word ? "same" : colours.includes(said) ? "other" : "none";
      found.push({ exchanged, said: kind });
    }
  }
  return found;
}

if (Deno.args.includes("--cuts")) {
  const found: Awaited<ReturnType<typeof cuts>> = [];
  for (const [i, recording] of recordings.entries()) {
    found.push(...await cuts(recording, rest[i] ?? ""));
  }
  print("Colours said again, with some pictures of other cards\n");
  table(
    ["pictures of other cards", "the other card's colour, or a third", "the same colour", "none"],
    Object.keys(exchanges).map((exchanged) => [
      exchanged,
      ...["other", "same", "none"].map((kind) =>
        found.filter((one) => one.exchanged === exchanged && one.said === kind).length
      ),
    ]),
  );
}
