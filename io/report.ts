/** What people read on stderr when a replay has ended. */
import type { SummaryEvent } from "./events.ts";

/** The closing table: units, speed, latency by stage, files. */
export function report(summary: SummaryEvent): string {
  const { units, seconds, wall_seconds, real_time_factor: factor, latency_ms } = summary;
  const { interaction_ms: felt, skipped, lost } = summary;
  const speed = factor > 0 ? `, ${(1 / factor).toFixed(2)} times as fast as real time` : "";
  const rows = [
    row("units", `${units} (${seconds.toFixed(2)} s of stream)`),
    row("real-time factor", `${factor.toFixed(3)} (${wall_seconds.toFixed(2)} s of work${speed})`),
    row("latency in ms", `${"p50".padStart(9)}${"p95".padStart(10)}`),
    ...Object.entries(latency_ms).map(([stage, { p50, p95 }]) =>
      row(`  ${stage.replaceAll("_", " ")}`, `${fixed(p50)} ${fixed(p95)}`)
    ),
    ...(felt ? [row("  interaction", `${fixed(felt.p50)} ${fixed(felt.p95)}`)] : []),
    ...(skipped > 0 ? [row("skipped", `${skipped} observations came too late to be heard`)] : []),
    ...(lost.up + lost.down > 0 ? [row("lost", `${lost.up} units up, ${lost.down} down`)] : []),
    ...Object.entries(summary.outputs).map(([kind, path]) => row(kind.replaceAll("_", " "), path)),
  ];
  return `${rows.join("\n")}\n`;
}

function row(name: string, value: string): string {
  return `${name.padEnd(18)}${value}`;
}

function fixed(ms: number): string {
  return ms.toFixed(1).padStart(9);
}
