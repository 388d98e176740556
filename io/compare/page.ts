/** The page of a comparison: protocol, the picture of turn-taking, figures, conversations to hear, and
 * what went wrong in each. */
import { toPcm16 } from "../media/wav.ts";
import { Resampler } from "../media/resample.ts";
import type { Bench } from "../reports/report.ts";
import { escape, tableHtml } from "../reports/report.ts";
import { type Table, tableOf } from "../reports/table.ts";
import { number } from "../eval/figures/table.ts";
import { soundRate } from "../score/activity.ts";
import { timelinePlot } from "../score/timeline.ts";
import { type Account, accounts, faultsTable } from "./faults.ts";
import { waits } from "./latency.ts";
import { type Agent, agentsTable, type Compared, comparedTables, letters } from "./output.ts";
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
  protocol: readonly (readonly [what: string, text: string])[];
}

/** The sections, in their order. */
export async function pageSections(parts: PageParts): Promise<Bench[]> {
  const { agents, compared, sweep, protocol } = parts;
  const none = { figures: {}, tables: [], plots: [] };
  return [
    {
      ...{ name: "protocol", headline: "What was compared, and how" },
      ...{ ...none, tables: [agentsTable(agents)] },
      html: `<dl>${
        protocol.map(([what, text]) => `<dt>${escape(what)}</dt><dd>${escape(text)}</dd>`).join(
          "\n",
        )
      }</dl>`,
    },
    ...(sweep
      ? [{
        ...{ name: "turn-taking", headline: "When the agents take the turn" },
        ...{ figures: {}, tables: sweepTables(sweep), plots: [sweepPlot(sweep.points)] },
      }]
      : []),
    ...compared.map((one, i): Bench => ({
      ...{ name: `condition-${i + 1}`, headline: one.name, figures: {} },
      ...{ tables: comparedTables(one), plots: waitPlots(parts, one, i) },
    })),
    await conversationsToHear(parts),
    {
      ...{ name: "conversations", headline: "Every conversation: which module, unit and word" },
      ...{ ...none, tables: judgedFaults(parts), html: everyConversation(parts) },
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
  const known = ({ value, interval }: Known, percent: boolean) => {
    const text = (x: number) => percent ? `${(100 * x).toFixed(1)} %` : x.toFixed(0);
    if (value === null) return null;
    return `${text(value)}${interval ? ` (${interval.map(text).join(" to ")})` : ""}`;
  };
  return [
    tableOf("Settings and agents", points, [
      ["", ({ name }) => name],
      ["run", ({ kind }) => kind === "full" ? "full run" : "decisions only"],
      ["delay, mean, ms", ({ delay }) => known(delay, false)],
      ["p50, ms", ({ delayP50 }) => known(delayP50, false)],
      ["pauses broken", ({ brokenPauses }) => known(brokenPauses, true)],
      ["questions missed", ({ missed }) => known(missed, true)],
      ["turns, pauses", ({ delay, brokenPauses }) => `${delay.events}, ${brokenPauses.events}`],
    ], [
      "without network and compute time, to the beginning of the answer's first unit; intervals hold " +
      "95 % of draws of conversations",
      ...notes,
    ]),
    tableOf("Full runs beside the decisions that they agree with most", agreements, [
      ["", ({ agent }) => agent],
      ["decisions", ({ decisions }) => decisions],
      ["turns both answered", ({ turns }) => `${turns}`],
      ["in the same unit", ({ turns, same }) => turns > 0 ? number(same / turns) : null],
    ]),
  ];
}

function waitPlots({ agents, pairs, unitMs }: PageParts, { networks }: Compared, at: number) {
  const [a, b] = pairs[at] ?? [[], []];
  return networks.flatMap(({ text, network }, i) =>
    [false, true].map((withCompute) => {
      const sides = [a, b].map((results, side) => ({
        name: `${letters[side]}: ${agents[side]?.name}`,
        ms: results.filter(({ swap }) => swap === null).flatMap((one) =>
          waits(one, unitMs, network, withCompute).map(({ ms, early }) => early ? null : ms)
        ),
      }));
      const compute = withCompute ? "with this machine's compute time" : "without compute time";
      const title = `Answers heard, network ${text}, ${compute}`;
      return waitPlot(`waits-${at + 1}-${i + 1}-${withCompute ? 2 : 1}`, title, sides);
    })
  );
}

/** Conversations as timelines, with both agents' sound. */
async function conversationsToHear(parts: PageParts): Promise<Bench> {
  const { agents, pairs, shown, unitMs, sound } = parts;
  const section: Bench = {
    ...{ name: "timelines", headline: "Conversations to hear", figures: {}, tables: [] },
    plots: [],
  };
  const html: string[] = [];
  const plots: Bench["plots"][number][] = [];
  for (const name of shown) {
    for (const [side, { name: agent }] of agents.entries()) {
      const result = pairs.flatMap((pair) => pair[side] ?? []).find((one) => one.name === name);
      if (!result) continue;
      const plot = timelinePlot(
        result.live.score,
        `timeline-${plots.length + 1}`,
        plots.length === 0,
      );
      plots.push({ ...plot, title: `${name}: ${letters[side]} ${agent}` });
      const mixed = mix(await sound(null, name), await sound(agent, name), unitMs);
      html.push(
        `<p><audio controls preload="none" data-name="${escape(`${name} ${letters[side]}`)}" ` +
          `src="data:audio/wav;base64,${wavOf(mixed).toBase64()}"></audio> ` +
          `${escape(`${name}, user and ${letters[side]}`)}</p>`,
      );
    }
  }
  return { ...section, plots, html: html.join("\n") };
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

/** A fold for each conversation with its questions. */
function everyConversation({ compared, pairs, unitMs }: PageParts): string {
  return compared.map(({ name: condition }, at) => {
    const [a, b] = pairs[at] ?? [[], []];
    const folds = a.map((one, i) => {
      const sides = [one, b[i]].map((result) => result ? accounts(result, unitMs) : []);
      const summary = sides.map((list, side) => {
        const judged = list.filter(({ isRight }) => isRight !== null);
        const right = judged.filter(({ isRight }) => isRight).length;
        const faults = list.filter(({ fault }) => fault !== null).length;
        return `${letters[side]} ${right} of ${judged.length} right, ${faults} faults`;
      });
      return `<details class="conversation"><summary>${
        escape(`${one.name}: ${summary.join("; ")}`)
      }</summary>
${tableHtml(questionsTable(sides))}
${decisions(sides)}
</details>`;
    });
    return `<h3>${escape(condition)}</h3>\n${folds.join("\n")}`;
  }).join("\n");
}

function questionsTable(sides: readonly Account[][]): Table {
  const [a = [], b = []] = sides;
  const fault = ({ fault }: Account) =>
    fault === null ? "" : `${fault.module}, unit ${fault.unit}: ${fault.what}`;
  const said = ({ said, delay }: Account) =>
    `${said ?? "(not judged)"}${delay === null ? "" : `, ${delay} units after`}`;
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
