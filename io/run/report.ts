/** What people read on stderr when a replay has ended. */
import type { SummaryEvent } from "../pace/events.ts";
import type { Percentiles } from "../pace/statistics.ts";

/** The closing table: units, speed, latency by stage, files. */
export function report(summary: SummaryEvent): string {
  const { units, seconds, workSeconds, realTimeFactor: factor, latencyMs } = summary;
  const { interactionMs: interaction, skipped, lost } = summary;
  const speed = factor > 0 ? `, ${(1 / factor).toFixed(2)} times as fast as real time` : "";
  const rows = [
    row("units", `${units} (${seconds.toFixed(2)} s of stream)`),
    row("real-time factor", `${factor.toFixed(3)} (${workSeconds.toFixed(2)} s of work${speed})`),
    ...(latencyMs.total.p50 === null
      ? [row("latency", `too few units to tell: the first ${summary.warmUnits} don't count`)]
      : [
        row("latency in ms", `${["p50", "p95", "p99"].map((p) => p.padStart(9)).join(" ")}`),
        ...Object.entries(latencyMs).map(([stage, of]) =>
          row(`  ${words(stage)}`, percentiles(of))
        ),
        row("  interaction", percentiles(interaction)),
      ]),
    ...(skipped > 0 ? [row("skipped", `${skipped} observations came too late to be heard`)] : []),
    ...(lost.up + lost.down > 0 ? [row("lost", `${lost.up} units up, ${lost.down} down`)] : []),
    ...Object.entries(summary.outputs).map(([kind, path]) =>
      row(words(kind), path.replaceAll("\n", "\\n"))
    ),
  ];
  return `${rows.join("\n")}\n`;
}

function row(name: string, value: string): string {
  return `${name.padEnd(18)}${value}`;
}

/** A key as people read it: "sideBySide" as "side by side". */
const words = (key: string) => key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

function percentiles({ p50, p95, p99 }: Percentiles): string {
  return [p50, p95, p99].map((ms) => (ms?.toFixed(1) ?? "too few").padStart(9)).join(" ");
}
