/** A conversation as a picture: who speaks when, barge-ins, backchannels. */
import type { Plot } from "../reports/plots.ts";
import type { ConversationScore } from "./score.ts";

/** Seconds of a row, and rows of a conversation at the most. */
const rowSeconds = 30;
const mostRows = 20;

const colours = { user: "#3b82c4", agent: "#e0772f" };

/** The timeline of a conversation; of a long one its beginning.
 * @param isFirst Of those in a section: it says what the marks are. */
export function timelinePlot(
  { name, seconds, voice }: ConversationScore,
  id: string,
  isFirst: boolean,
): Plot {
  const rows = Math.min(mostRows, Math.max(1, Math.ceil(seconds / rowSeconds)));
  const { turns, bargeIns, backchannels } = voice.exchange;
  const label = (row: number) => `${row * rowSeconds} s`;
  const names = Array.from({ length: rows }, (_, row) => label(row));
  /** The parts of a stretch that lie in the rows. */
  const parts = (from: number, to: number) =>
    names.flatMap((row, i) => {
      const [begin, end] = [
        Math.max(0, from - i * rowSeconds),
        Math.min(rowSeconds, to - i * rowSeconds),
      ];
      return begin < end ? [{ row, from: begin, to: end }] : [];
    });
  const isAside = (side: string, at: number) =>
    backchannels.some((one) => one.side === side && at >= one.from && at < one.to);
  const speech = (["user", "agent"] as const).flatMap((side) =>
    voice.speech[side].flatMap(({ from, to }) =>
      parts(from, to).map((part) => ({ ...part, side, aside: isAside(side, from) ? 0.45 : 1 }))
    )
  );
  const marks = bargeIns.flatMap(({ side, at }) =>
    parts(at, at + 1e-3).map((part) => ({ ...part, side }))
  );
  const turnEnds = turns.flatMap(({ side, from, latency }) =>
    latency === null || latency < 0
      ? []
      : parts(from - latency, from).map((part) => ({ ...part, side }))
  );
  // Both have a row, also a side that says nothing.
  const scale = { domain: ["user", "agent"] };
  const y = { field: "side", type: "nominal", title: null, scale };
  const x = {
    field: "from",
    type: "quantitative",
    title: null,
    scale: { domain: [0, rows > 1 ? rowSeconds : Math.min(seconds, rowSeconds)] },
    axis: { tickCount: 6 },
  };
  const color = {
    field: "side",
    type: "nominal",
    legend: null,
    scale: { domain: Object.keys(colours), range: Object.values(colours) },
  };
  const layer = (kind: string, values: object[], mark: object, encoding: object) => ({
    transform: [{ filter: `datum.kind === '${kind}'` }],
    mark,
    encoding: { x, y, ...encoding },
    values: values.map((value) => ({ ...value, kind })),
  });
  const layers = [
    layer("speech", speech, { type: "bar", height: 11 }, {
      x2: { field: "to" },
      color,
      opacity: { field: "aside", type: "quantitative", scale: null },
    }),
    layer("latency", turnEnds, { type: "rule", strokeWidth: 1.5 }, { x2: { field: "to" }, color }),
    layer("barge-in", marks, {
      type: "point",
      shape: "triangle-down",
      filled: true,
      size: 90,
      yOffset: -9,
    }, {
      color: { value: "#b3383b" },
    }),
  ];
  // Rows without anything are rows all the same.
  const empty = names.map((row) => ({ row, kind: "none", side: "user", from: 0, to: 0 }));
  const marked =
    "Seconds. Bars: speech, pale where it is a backchannel. Lines: response latency. " +
    "Triangles: barge-ins.";
  const cut = seconds > rows * rowSeconds ? `The first ${rows * rowSeconds} s.` : "";
  return {
    id,
    title: name,
    note: [...(isFirst ? [marked] : []), cut].filter((part) => part).join(" "),
    spec: {
      data: { values: [...empty, ...layers.flatMap(({ values }) => values)] },
      facet: {
        row: { field: "row", type: "nominal", title: null, sort: names, header: { labelAngle: 0 } },
      },
      spec: { width: 720, height: 44, layer: layers.map(({ values: _, ...one }) => one) },
      spacing: 8,
    },
  };
}
