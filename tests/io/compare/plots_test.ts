/** The picture of the sweep: labels beside their markers, agents on top, no bar for one colour. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { placeLabels, sweepPlot } from "../../../io/compare/plots.ts";
import type { ConversationScore } from "../../../io/score/score.ts";
import { timelinePlot } from "../../../io/score/timeline.ts";
import type { SweepPoint } from "../../../io/compare/sweep.ts";

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const meet = (a: Box, b: Box) =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

Deno.test("labels cover neither markers nor one another, and those far off have a line", () => {
  for (let round = 0; round < 50; round++) {
    const markers = Array.from({ length: 20 }, (_, i) => ({
      ...{ name: "x".repeat(3 + Math.floor(30 * Math.random())), rank: i % 3 },
      ...{ x: 640 * Math.random(), y: 380 * Math.random() ** 0.3 },
    }));
    const placed = placeLabels(markers);
    const boxes = placed.flatMap((label, i): Box[] => {
      if (label === null) return [];
      const long = 6 * (markers[i]?.name.length ?? 0);
      const left = label.align === "left" ? label.x : label.x - long;
      assertEquals(label.isMoved, Math.abs(label.y - (markers[i]?.y ?? 0)) > 14);
      return [{ left, right: left + long, top: label.y - 6, bottom: label.y + 6 }];
    });
    boxes.forEach((box, i) => {
      for (const other of boxes.slice(i + 1)) assert(!meet(box, other), JSON.stringify(markers));
      for (const { x, y } of markers) {
        assert(!meet(box, { left: x - 3, right: x + 3, top: y - 3, bottom: y + 3 }));
      }
    });
    // Of few, each has room.
    const few = markers.slice(0, 4).map((one) => ({
      ...one,
      rank: 0,
      name: one.name.slice(0, 20),
    }));
    assertEquals(placeLabels(few).filter((label) => label === null), []);
  }
});

Deno.test("a timeline is as long as its conversation, both sides have a row, one has a caption", () => {
  const speech = { user: [{ from: 1, to: 2 }], agent: [] };
  const exchange = { turns: [], bargeIns: [], backchannels: [] };
  const score = (seconds: number) =>
    ({ name: "a", seconds, voice: { speech, exchange } }) as unknown as ConversationScore;
  const domains = (seconds: number) => {
    const text = JSON.stringify(timelinePlot(score(seconds), "t", false).spec);
    return [...text.matchAll(/"domain":\[0,([\d.]+)\]/g)].map(([, end]) => Number(end));
  };
  assertEquals(new Set(domains(10.08)), new Set([10.08]));
  assertEquals(new Set(domains(65)), new Set([30]));
  const { note, spec } = timelinePlot(score(10), "t", false);
  assertEquals(note, "");
  assertStringIncludes(JSON.stringify(spec), '"scale":{"domain":["user","agent"]}');
  assertStringIncludes(timelinePlot(score(10), "t", true).note, "Bars: speech");
});

const known = (value: number, events = 20) => ({ value, interval: null, events });
const point = (more: Partial<SweepPoint>): SweepPoint => ({
  ...{ name: "a", kind: "decisions", silence: null, delay: known(500), delayP50: known(500) },
  ...{ brokenPauses: known(0.1), missed: known(0) },
  ...more,
});

Deno.test("agents' markers are drawn last; colours have a bar where they differ", () => {
  const agent = point({ name: "x/agent", kind: "full" });
  const layers = ({ spec }: ReturnType<typeof sweepPlot>) =>
    (spec["layer"] as { mark: { type: string }; transform?: unknown; encoding: object }[])
      .filter(({ mark }) => mark.type === "point");
  const one = sweepPlot([agent, point({})]);
  const [others, agents] = layers(one);
  assertStringIncludes(JSON.stringify(others?.transform), "!datum.isAgent");
  assertStringIncludes(JSON.stringify(agents?.transform), '"datum.isAgent"');
  assert(!JSON.stringify(one.spec).includes("viridis"));
  assertStringIncludes(one.note, "Each misses 0.0 % of the questions");
  const two = sweepPlot([agent, point({ missed: known(0.5), brokenPauses: known(0.1, 2) })]);
  assertStringIncludes(JSON.stringify(two.spec), "viridis");
  assert(!two.note.includes("Each misses"));
  assertMatch(two.note, /rests on 2 pauses: that is too few/);
});
