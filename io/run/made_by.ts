/** What a media file's tags say of its making: version, checkpoint, seed, and the command. */
import { modelOptions } from "../cli/model_options.ts";
import type { Option } from "../cli/options.ts";
import type { InputFacts } from "../pace/events.ts";
import type { Provenance } from "../provenance/provenance.ts";

/**
 * One line. Its command has every setting that shapes the answers, as it was in force, and none that
 * doesn't: no paths, no pace, placement or schedule, nothing about saving. So a run that was resumed,
 * or wrote elsewhere, has the same line and its files the same bytes.
 *
 * @param command The command's name and operands, e.g. "replay INPUT -o OUTPUT".
 */
export function madeBy(
  { version, checkpoint, seeds, settings }: Provenance,
  command: string,
  input: InputFacts | null,
): string {
  const values: Record<string, unknown> = settings ?? {};
  const named = (name: string, value: unknown) =>
    value === undefined || value === null ? [] : [`--${name} ${value}`];
  const options = Object.entries<Option>(modelOptions).flatMap(([name, { setting }]) =>
    setting === undefined ? [] : named(name, valueAt(values, setting))
  );
  const placeholder = (name: string, key: string, value: string) =>
    named(name, values[key] ? value : null);
  const tracks = (["video", "audio"] as const).flatMap((medium) => {
    const track = input?.tracks[medium];
    return named(`${medium}-track`, track && track.of > 1 ? track.number : null);
  });
  const channel = input?.tracks.audio?.channel;
  const line = [
    `wanstream ${command}`,
    ...options,
    ...named("precision", values["weights"]),
    ...named("history-units", values["historyUnits"]),
    ...placeholder("prompt", "prompt", "TEXT"),
    ...placeholder("persona", "persona", "IMAGE"),
    ...placeholder("voice", "voice", "AUDIO"),
    ...placeholder("user-text", "userText", "FILE"),
    ...named("late", values["late"] === "skip" ? "skip" : null),
    ...named("network", networkText(values["network"])),
    ...tracks,
    ...named("audio-channel", channel === "mix" ? null : channel),
  ].join(" ");
  return [
    `wanstream ${version}`,
    `checkpoint ${checkpoint?.digest ?? "unknown"}`,
    `seed ${seeds.noise ?? "unknown"}`,
    line,
  ].join("; ");
}

/** A network as `--network` takes it; null: there is none. */
function networkText(network: unknown): string | null {
  const [delay, jitter, loss, seed] = ["delay", "jitter", "loss", "seed"].map((key) =>
    Number(valueAt(network, key))
  );
  if (!Number.isFinite(delay)) return null;
  return `${delay}ms+-${jitter}ms,loss=${100 * (loss ?? 0)}%,seed=${seed}`;
}

/** The value at a path of keys, e.g. "solver.steps". */
function valueAt(values: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined,
    values,
  );
}
