/** The page of a comparison: the answer, the picture of turn-taking, figures, what went wrong, the
 * conversations, the protocol. */
import { toPcm16 } from "../media/wav.ts";
import { Resampler } from "../media/resample.ts";
import type { Bench } from "../reports/report.ts";
import { escape, tableHtml } from "../reports/report.ts";
import { counted, type Table, tableOf } from "../reports/table.ts";
import { enoughEvents } from "../eval/measures/outcomes.ts";
import { soundRate } from "../score/activity.ts";
import { timelinePlot } from "../score/timeline.ts";
import { type Account, accounts, faultsTable } from "./faults.ts";
import { waits } from "./latency.ts";
import {
  type Agent,
  agentsTable,
  type Compared,
  comparedTables,
  fewNote,
  letters,
  tooFew,
  verdictOf,
} from "./output.ts";
import { sweepPlot, waitPlot } from "./plots.ts";
import { isJudged } from "./recordings.ts";
import type { Answered } from "./result.ts";
import type { Known, Sweep } from "./sweep.ts";

/** Sound in the page: enough for speech, and small. */
const pageRate = 8000;

/** What the page is made of. */
export interface PageParts {
  agents: readonly Agent[];
  compared: readonly Compared[];
  /** Of each condition, what both answered. */
  pairs: readonly [Answered[], Answered[]][];
  sweep: Sweep | null;
  unitMs: number;
  /** Names of the recordings that are shown. */
  shown: readonly string[];
  /** The kept sound of a side at 16 kHz; null: the user's. */
  sound(agent: string | null, name: string): Promise<Float32Array>;
  /** Lines of the protocol: what was done on what. */
  protocol: readonly (readonly [what: string, text: string | readonly string[]])[];
  /** What opens a recording of a condition in `inspect`: lines for a shell. */
  inspect(condition: number, name: string): string[];
}

/** The sections, in their order: the answer, what it rests on, what went wrong, how it was made. */
export async function pageSections(parts: PageParts): Promise<Bench[]> {
  const { agents, compared, sweep, protocol } = parts;
  const none = { figures: {}, tables: [], plots: [] };
  const [first] = compared;
  const text = (text: string) => `<p>${escape(text)}</p>`;
  const line = ([what, said]: PageParts["protocol"][number]) =>
    `<dt>${escape(what)}</dt><dd>${
      typeof said === "string"
        ? escape(said)
        : `<ul>${said.map((one) => `<li>${escape(one)}</li>`).join("\n")}</ul>`
    }</dd>`;
  const names = agents.map(({ name }, i) => `${letters[i]} is ${name}`).join(", ");
  return [
    {
      ...{ name: "verdict", label: "in short", headline: "In short", ...none },
      html: [`${names}.`, ...(first ? verdictOf(first) : [])].map(text).join("\n"),
    },
    ...(sweep
      ? [{
        ...{ name: "turn-taking", headline: "When the agents take the turn" },
        ...{ figures: {}, tables: [], plots: [sweepPlot(sweep.points)] },
        html: `<details><summary>these points in figures</summary>\n${
          sweepTables(sweep).map(tableHtml).join("\n")
        }</details>`,
      }]
      : []),
    ...compared.map((one, i): Bench => ({
      ...{ name: `condition-${i + 1}`, label: one.name, headline: one.name, figures: {} },
      ...{ tables: comparedTables(one), plots: waitPlots(parts, one, i) },
    })),
    {
      ...{ name: "faults", label: "what went wrong", ...none, tables: judgedFaults(parts) },
      ...{ headline: "Which module, which unit, which word", html: faultsHtml(parts) },
    },
    await conversationsToHear(parts),
    {
      ...{ name: "conversations", headline: "Every conversation" },
      ...{ ...none, html: everyConversation(parts) },
    },
    {
      ...{ name: "protocol", headline: "What was compared, and how" },
      ...{ ...none, tables: [agentsTable(agents)] },
      html: `<dl>${protocol.map(line).join("\n")}</dl>`,
    },
  ];
}

/** None where nothing has a truth record. */
export function judgedFaults(
  { compared, pairs, unitMs }: Pick<PageParts, "compared" | "pairs" | "unitMs">,
): Table[] {
  const conditions = compared.map(({ name }, at) => ({ name, sides: pairs[at] ?? [[], []] }));
  const isAny = conditions.some(({ sides }) =>
    sides.flat().some(({ live }) => isJudged(live.truth))
  );
  return isAny ? [faultsTable(conditions, letters, unitMs)] : [];
}

/** Points, and how far decisions and full runs agree. */
export function sweepTables({ points, agreements, notes }: Sweep): Table[] {
  const known = ({ value, interval, events }: Known, percent: boolean) => {
    const text = (x: number) => percent ? (100 * x).toFixed(1) : x.toFixed(0);
    if (value === null || events < enoughEvents) return events > 0 ? tooFew(events) : null;
    const ends = interval ? ` (${interval.map(text).join(" to ")})` : "";
    return `${text(value)}${percent ? " %" : ""}${ends}`;
  };
  return [
    tableOf("Settings and agents", points, [
      ["", ({ name }) => name],
      ["run", ({ kind }) => kind === "full" ? "full run" : "decisions"],
      ["delay, mean, ms", ({ delay }) => known(delay, false)],
      ["p50, ms", ({ delayP50 }) => known(delayP50, false)],
      ["pauses broken", ({ brokenPauses }) => known(brokenPauses, true)],
      ["questions missed", ({ missed }) => known(missed, true)],
      ["turns, pauses", ({ delay, brokenPauses }) => `${delay.events}, ${brokenPauses.events}`],
    ], [
      "decisions: turn logic alone over the same recordings; full run: an agent that answered them; " +
      "without network and compute time, to the beginning of the answer's first unit; intervals hold " +
      "95 % of draws of conversations",
      ...(points.some(({ delay, brokenPauses, missed }) =>
          [delay, brokenPauses, missed].some(({ events }) => events > 0 && events < enoughEvents)
        )
        ? [fewNote]
        : []),
      ...notes,
    ]),
    tableOf("Full runs beside the decisions that they agree with most", agreements, [
      ["", ({ agent }) => agent],
      ["decisions", ({ decisions }) => decisions],
      ["in the same unit, of the turns both answered", ({ turns, same }) => `${same} of ${turns}`],
    ]),
  ];
}

/** What part of the turns was answered by when; of none where nothing was. */
function waitPlots({ agents, pairs, unitMs }: PageParts, { networks }: Compared, at: number) {
  const pair = pairs[at] ?? [[], []];
  const plots = networks.flatMap(({ text, network }, i) =>
    [false, true].map((withCompute) => ({
      sides: pair.map((results, side) => ({
        name: `${letters[side]}: ${agents[side]?.name}`,
        ms: results.filter(({ swap }) => swap === null).flatMap((one) =>
          waits(one, unitMs, network, withCompute).map(({ ms, early }) => early ? null : ms)
        ),
      })),
      title: `Answers heard, network ${text}, ` +
        (withCompute ? "with this machine's compute time" : "without compute time"),
      id: `waits-${at + 1}-${i + 1}-${withCompute ? 2 : 1}`,
    }))
  ).filter(({ sides }) => sides.some(({ ms }) => ms.some((one) => one !== null)));
  return plots.map(({ id, title, sides }, i) => waitPlot(id, title, sides, i === 0));
}

/** The timelines of the page: of each conversation that is shown, of both agents. */
const timelines = ({ pairs, shown }: PageParts) =>
  shown.flatMap((name) =>
    letters.flatMap((_, side) => {
      const result = pairs.flatMap((pair) => pair[side] ?? []).find((one) => one.name === name);
      return result ? [{ name, side, result }] : [];
    })
  ).map((one, i) => ({ ...one, id: `timeline-${i + 1}` }));

/** Conversations as timelines, with both agents' sound. */
async function conversationsToHear(parts: PageParts): Promise<Bench> {
  const { agents, unitMs, sound } = parts;
  const plots: Bench["plots"][number][] = [];
  for (const { name, side, result, id } of timelines(parts)) {
    const agent = agents[side]?.name ?? "";
    const mixed = mix(await sound(null, name), await sound(agent, name), unitMs);
    const audio =
      `<audio controls preload="none" data-name="${escape(`${name} ${letters[side]}`)}" ` +
      `src="data:audio/wav;base64,${wavOf(mixed).toBase64()}"></audio>`;
    plots.push({
      ...timelinePlot(result.live.score, id, plots.length === 0),
      ...{ title: `${name}: user and ${letters[side]}, ${agent}`, html: audio },
    });
  }
  return {
    ...{ name: "timelines", headline: "Conversations to hear", figures: {}, tables: [], plots },
  };
}

/** Both sides as they are heard, at the page's rate: the agent one unit after its stream. */
function mix(user: Float32Array, agent: Float32Array, unitMs: number): Float32Array {
  const late = Math.round((unitMs * soundRate) / 1000);
  const sum = new Float32Array(Math.max(user.length, agent.length + late));
  sum.set(user);
  agent.forEach((value, i) => sum[i + late] = (sum[i + late] ?? 0) + value);
  const resampler = new Resampler(soundRate, pageRate);
  const parts = [resampler.push(sum.map((value) => value / 2)), resampler.flush()];
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

/** A WAV file. */
function wavOf(sound: Float32Array): Uint8Array {
  const samples = toPcm16(sound);
  const header = new DataView(new ArrayBuffer(44));
  const words: [number, string][] = [[0, "RIFF"], [8, "WAVE"], [12, "fmt "], [36, "data"]];
  for (const [at, text] of words) {
    new TextEncoder().encodeInto(text, new Uint8Array(header.buffer, at, 4));
  }
  const fields: [number, number, 2 | 4][] = [
    [4, 36 + samples.length, 4],
    [16, 16, 4],
    [20, 1, 2],
    [22, 1, 2],
    [24, pageRate, 4],
    [28, 2 * pageRate, 4],
    [32, 2, 2],
    [34, 16, 2],
    [40, samples.length, 4],
  ];
  for (const [at, value, size] of fields) {
    if (size === 2) header.setUint16(at, value, true);
    else header.setUint32(at, value, true);
  }
  const file = new Uint8Array(44 + samples.length);
  file.set(new Uint8Array(header.buffer));
  file.set(samples, 44);
  return file;
}

/** A conversation of a condition, as both answered it. */
interface Talk {
  condition: number;
  name: string;
  /** Names its place in the page. */
  id: string;
  sides: Account[][];
}

/** Those with something wrong first. */
function talksOf({ compared, pairs, unitMs }: PageParts): Talk[][] {
  return compared.map((_, condition) => {
    const [a, b] = pairs[condition] ?? [[], []];
    return a.map(({ name }, i): Talk => ({
      ...{ condition, name, id: `talk-${condition + 1}-${i + 1}` },
      sides: [a[i], b[i]].map((result) => result ? accounts(result, unitMs) : []),
    })).sort((one, other) => Number(isWrong(other)) - Number(isWrong(one)));
  });
}

const isWrong = ({ sides }: Talk) => sides.flat().some(({ fault }) => fault !== null);

/** A line for each fault, with its places in the page. */
function faultsHtml(parts: PageParts): string {
  const shown = timelines(parts);
  const rows = talksOf(parts).flat().flatMap(({ condition, name, id, sides }) =>
    sides.flatMap((list, side) => {
      const seen = shown.find((one) => one.name === name && one.side === side);
      const timeline = seen && condition === 0 ? `<a href="#plot-${seen.id}">timeline</a>` : "";
      return list.flatMap(({ question, fault }) => {
        if (fault === null) return [];
        const cells = [parts.compared[condition]?.name ?? "", letters[side] ?? "", question.text]
          .concat(fault.module, `${fault.unit}`, fault.what);
        return [
          `<tr><td><a href="#${id}">${escape(name)}</a></td>${
            cells.map((cell) => `<td>${escape(cell)}</td>`).join("")
          }<td>${timeline}</td></tr>`,
        ];
      });
    })
  );
  if (rows.length === 0) return "";
  const columns = ["conversation", "condition", "agent", "question", "module", "unit", "what", ""];
  return `<div class="table conversation"><table><thead><tr>${
    columns.map((name) => `<th>${name}</th>`).join("")
  }</tr></thead>\n<tbody>${rows.join("\n")}</tbody></table></div>`;
}

/** A fold for each conversation with its questions. */
function everyConversation(parts: PageParts): string {
  return talksOf(parts).map((talks, condition) => {
    const folds = talks.map((talk) => {
      const summary = talk.sides.map((list, side) => {
        const judged = list.filter(({ isRight }) => isRight !== null);
        const right = judged.filter(({ isRight }) => isRight).length;
        const faults = list.filter(({ fault }) => fault !== null).length;
        return `${letters[side]} ${right} of ${judged.length} right, ${
          faults === 0 ? "no fault" : counted(faults, "fault")
        }`;
      });
      // A link to what is inside opens the fold.
      return `<details class="conversation${isWrong(talk) ? " wrong" : ""}"><summary>${
        escape(`${talk.name}: ${summary.join("; ")}`)
      }</summary>
<div id="${talk.id}">
${tableHtml(questionsTable(talk.sides))}
${decisions(talk.sides)}
<pre>${escape(parts.inspect(condition, talk.name).join("\n"))}</pre>
</div>
</details>`;
    });
    const wrong = talks.filter(isWrong).length;
    const first = wrong > 0
      ? ` Those in which something went wrong stand first: ${wrong} of ${talks.length}.`
      : "";
    return `<h3>${escape(parts.compared[condition]?.name ?? "")}</h3>
<p class="note">Each opens. The lines at its end let both agents answer it again, unit by unit (docs/inspect.md).${first}</p>
${folds.join("\n")}`;
  }).join("\n");
}

function questionsTable(sides: readonly Account[][]): Table {
  const [a = [], b = []] = sides;
  const fault = ({ fault }: Account) =>
    fault === null ? "" : `${fault.module}, unit ${fault.unit}: ${fault.what}`;
  const said = ({ said, delay }: Account) =>
    `${said ?? "(not judged)"}${delay === null ? "" : `, ${counted(delay, "unit")} after`}`;
  const of = (one: (account: Account) => string) => (i: number, list: readonly Account[]) => {
    const account = list[i];
    return account ? one(account) : "";
  };
  const rows = a.map((_, i) => i);
  const hasCascade = sides.map((list) => list.some(({ read }) => read !== null));
  const columns = [a, b].flatMap((list, side): [string, (i: number) => string][] => [
    [`${letters[side]} said`, (i) => of(said)(i, list)],
    ...(hasCascade[side]
      ? [
        [`${letters[side]} read`, (i: number) => of(({ read }) => read ?? "")(i, list)],
        [`${letters[side]} saw`, (i: number) => of(({ card }) => card ?? "")(i, list)],
      ] as [string, (i: number) => string][]
      : []),
    [`${letters[side]} went wrong`, (i) => of(fault)(i, list)],
  ]);
  return tableOf("", rows, [
    ["", (i) => {
      const { text = "", start = 0, end = 0 } = a[i]?.question ?? {};
      return `${start} to ${end}: ${text}`;
    }],
    ["wanted", (i) => a[i]?.question.words.join(" ") ?? ""],
    ...columns,
  ]);
}

/** A cascade's decisions, unit by unit. */
function decisions(sides: readonly Account[][]): string {
  return sides.flatMap((list, side) => {
    const lines = list.flatMap((one) => one.decisions);
    return lines.length === 0 ? [] : [
      `<details><summary>${letters[side]}: decisions by unit</summary><pre>${
        escape(lines.join("\n"))
      }</pre></details>`,
    ];
  }).join("\n");
}
