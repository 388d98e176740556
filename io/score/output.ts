/** What `score` gives: tables, JSON, comma-separated values, and the sections of a page. */
import { intervalText, number } from "../eval/figures/table.ts";
import type { Bench } from "../reports/report.ts";
import { type Cell, counted, recordsCsv, type Table, tableOf } from "../reports/table.ts";
import { intervalPlot, type IntervalPoint } from "../reports/plots.ts";
import { round } from "../pace/statistics.ts";
import { figuresOf, type ScoreFigure } from "./figures.ts";
import type { ConversationScore, Heard } from "./score.ts";
import { timelinePlot } from "./timeline.ts";
import { type Side, sides } from "./turns.ts";

/** The conversations of one folder. */
export interface System {
  /** The folder as it was given. */
  name: string;
  conversations: ConversationScore[];
  /** What of it isn't scored, and why. */
  leftOut: string[];
  figures: ScoreFigure[];
}

/** Figures of which there is a value somewhere. */
function told(systems: readonly System[]): ScoreFigure[] {
  const all = systems.map(({ figures }) => figures);
  return (all[0] ?? []).filter((_, i) => all.some((figures) => figures[i]?.value !== null));
}

/** Whom a figure is about, where that isn't clear. */
const about = ({ side }: ScoreFigure) => side ?? "both";

/** The figures of all systems, a column with its interval for each. */
export function figuresTable(systems: readonly System[], notes: readonly string[]): Table {
  const of = (system: System, { key, side }: ScoreFigure) =>
    system.figures.find((one) => one.key === key && one.side === side);
  const columns = systems.flatMap((system) =>
    [
      [
        systems.length > 1 ? system.name : "figure",
        (row: ScoreFigure): Cell => known(of(system, row)?.value),
      ],
      ["95 %", (row: ScoreFigure): Cell => intervalText(of(system, row)?.interval ?? null)],
      ["by level", (row: ScoreFigure): Cell => known(of(system, row)?.byLevel)],
      ["n", (row: ScoreFigure): Cell => `${of(system, row)?.events ?? ""}`],
    ] as const
  );
  return tableOf("Figures", told(systems), [
    ["", ({ label }) => label.replace(/^ /, "  ")],
    ["of", about],
    ...columns,
  ], notes);
}

const known = (value: number | null | undefined): Cell => value == null ? "" : number(value);

/** A row for each conversation: what is asked first. */
export function conversationsTable({ conversations }: System): Table {
  const one = (score: ConversationScore, key: string, side: Side | null) => {
    const found = figuresOf([score], 0).find((figure) =>
      figure.key === key && figure.side === side
    );
    return known(found?.value);
  };
  const columns: [string, string, Side | null][] = [
    ["user turns", "turns", "user"],
    ["agent turns", "turns", "agent"],
    ["answered", "answered", "agent"],
    ["latency p50", "latencyP50", "agent"],
    ["user barges in", "bargeIns", "user"],
    ["stops after", "stopLatencyP50", "agent"],
    ["backchannels", "backchannels", "agent"],
    ["overlap", "overlap", null],
    ["silence", "silence", null],
    ["agent's part", "talkRatio", "agent"],
    ["picture late, ms", "syncMs", "agent"],
    ["frozen", "frozen", "agent"],
  ];
  return tableOf("Conversations", conversations, [
    ["", ({ name }) => name],
    ["s", ({ seconds }) => number(round(seconds, 2))],
    ...columns.map(([title, key, side]) =>
      [title, (score: ConversationScore) => one(score, key, side)] as const
    ),
  ]);
}

/** Everything that is said of conversations, for machines: times in seconds, to the millisecond. */
export function systemJson({ name, conversations, leftOut, figures }: System) {
  return {
    name,
    figures,
    leftOut,
    conversations: conversations.map((
      { voice, level, levels, sync, freeze, judged, ...facts },
    ) => ({
      ...facts,
      ...{ voice: heardJson(voice), level: heardJson(level), levels, sync, freeze, judged },
      figures: figuresOf([{ voice, level, levels, sync, freeze, judged, ...facts }], 0)
        .map(({ interval: _, ...one }) => one),
    })),
  };
}

function heardJson({ speech, exchange }: Heard) {
  return JSON.parse(
    JSON.stringify(
      { speech, ...exchange },
      (_, value) => typeof value === "number" ? round(value, 3) : value,
    ),
  );
}

/** A line for each figure of each system, and of each conversation. */
export function systemsCsv(systems: readonly System[]): string {
  const line = (system: string, conversation: string | null) => (figure: ScoreFigure) => ({
    ...{ system, conversation, key: figure.key, side: figure.side },
    ...{ value: figure.value, low: figure.interval?.[0] ?? null },
    ...{ high: figure.interval?.[1] ?? null, events: figure.events, byLevel: figure.byLevel },
  });
  return recordsCsv(systems.flatMap(({ name, figures, conversations }) => [
    ...figures.map(line(name, null)),
    ...conversations.flatMap((score) => figuresOf([score], 0).map(line(name, score.name))),
  ]));
}

/** Conversations of a system whose timelines stand in a page. */
const mostTimelines = 40;

/** The sections of the page: figures side by side, then each system's conversations. */
export function sections(systems: readonly System[], notes: readonly string[]): Bench[] {
  const figures = { ...figuresTable(systems, notes), title: "All conversations" };
  return [
    {
      name: "figures",
      headline: systems.map(heading).join("; "),
      figures: {},
      tables: [figures],
      plots: systems.length > 1 ? comparing(systems) : [],
    },
    ...systems.map((system, i): Bench => {
      const shown = system.conversations.slice(0, mostTimelines);
      const more = system.conversations.length - shown.length;
      return {
        name: `system${i + 1}`,
        headline: system.name,
        figures: {},
        plots: shown.map((score, at) =>
          timelinePlot(score, `timeline-${i + 1}-${at + 1}`, at === 0)
        ),
        tables: [
          {
            ...conversationsTable(system),
            notes: more > 0 ? [`${more} more conversations have no timeline here`] : [],
          },
          ...shown.flatMap(transcript),
        ],
      };
    }),
  ];
}

/** What was measured, in words. */
export function heading({ name, conversations, leftOut }: System): string {
  const seconds = conversations.reduce((sum, one) => sum + one.seconds, 0);
  const without = leftOut.length > 0 ? `, ${leftOut.length} left out` : "";
  return `${name}: ${counted(conversations.length, "conversation")}, ${
    (seconds / 60).toFixed(1)
  } min${without}`;
}

/** Each figure that has intervals, the systems one below the other on one axis. */
function comparing(systems: readonly System[]) {
  let above = "";
  const points = told(systems).flatMap(({ key, label, side }) => {
    if (!label.startsWith(" ")) above = label;
    const name = label.startsWith(" ") ? `${above}:${label}` : label;
    if (side === "user") return [];
    return systems.flatMap((system): IntervalPoint[] => {
      const one = system.figures.find((figure) => figure.key === key && figure.side === side);
      if (!one || one.value === null || one.interval === null) return [];
      const [low, high] = one.interval;
      return [{ name, row: system.name, value: one.value, low, high, stands: true }];
    });
  });
  return points.length === 0 ? [] : [intervalPlot(points, {
    ...{ id: "systems", title: "The systems beside each other" },
    note:
      "A dot is the agent's figure, the line around it holds it in 95 % of the bootstrap's draws.",
    ...{ shared: false, zero: false },
  })];
}

/** Who says what, where that is known. */
function transcript({ name, judged, voice }: ConversationScore): Table[] {
  const lines = sides.flatMap((side) =>
    voice.exchange.turns.filter((turn) => turn.side === side).flatMap(({ from, to }) => {
      const said = (judged[side].words ?? []).filter((word) => {
        const middle = (word.from + word.to) / 2;
        return middle >= from - 0.2 && middle <= to + 0.2;
      });
      return said.length === 0
        ? []
        : [{ side, from, text: said.map(({ text }) => text).join(" ") }];
    })
  ).sort((a, b) => a.from - b.from);
  if (lines.length === 0) return [];
  return [tableOf(`${name}: words`, lines, [
    ["", ({ text, side }) => `${side}: ${text}`],
    ["from, s", ({ from }) => from.toFixed(2)],
  ])];
}
