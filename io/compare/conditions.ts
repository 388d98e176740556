/** Under what two agents are compared: what the recordings are like, and the network between. */
import { InputError } from "../../engine/config/errors.ts";
import { valueText } from "../../engine/config/error_text.ts";
import { type Condition as RecordingsKind, conditions } from "../eval/generate.ts";
import { nearest } from "../../engine/config/nearest.ts";
import { type Network, parseNetwork } from "../pace/network.ts";

/** A network by which answers are heard; null: none. */
export interface NamedNetwork {
  text: string;
  network: Network | null;
}

/** No network, the delay of a call across a continent, and the same on a bad day. */
const usualNetworks = "none;350ms;350ms+-80ms,loss=1%";

/**
 * Reads networks apart by `;`, in the order in which they are shown. `all`: the usual three.
 *
 * @throws InputError
 */
export function parseNetworks(text: string): NamedNetwork[] {
  const parts = (text === "all" ? usualNetworks : text).split(";").map((part) => part.trim());
  const twice = parts.find((part, i) => parts.indexOf(part) !== i);
  if (twice !== undefined) throw new InputError(`--network: ${valueText(twice)} is given twice`);
  return parts.map((part) => ({
    text: part,
    network: part === "none" ? null : parseNetwork(part),
  }));
}

/** Reads `quiet,noisy` or `all`. @throws InputError */
export function parseConditions(text: string): RecordingsKind[] {
  if (text === "all") return [...conditions];
  const names = text.split(",").map((name) => {
    const found = conditions.find((one) => one === name);
    if (found !== undefined) return found;
    const near = nearest(name, conditions) ??
      `all, or of ${conditions.join(", ")}`;
    throw new InputError(`--conditions: ${valueText(name)} is none; it may be ${near}`);
  });
  return [...new Set(names)];
}

/** What is run once: recordings, and the losses of a network. Delay and jitter change nothing in what
 * an agent answers, so networks without loss share a run. */
export interface Condition {
  /** Names files and rows, e.g. "quiet" or "quiet, 350ms+-80ms,loss=1%". */
  name: string;
  recordings: RecordingsKind;
  /** The network whose losses the agent meets; null: it hears everything. */
  lossy: NamedNetwork | null;
  /** By which its answers are heard. */
  networks: NamedNetwork[];
}

/** Each kind of recordings through the networks without loss, and the first kind through each that
 * loses units. */
export function conditionsOf(
  recordings: readonly RecordingsKind[],
  networks: readonly NamedNetwork[],
): Condition[] {
  const losing = networks.filter(({ network }) => network && network.loss > 0);
  const whole = networks.filter((one) => !losing.includes(one));
  const [first = "quiet"] = recordings;
  return [
    ...(whole.length > 0 ? recordings : []).map((kind): Condition => ({
      ...{ name: kind, recordings: kind, lossy: null, networks: whole },
    })),
    ...losing.map((lossy): Condition => ({
      ...{ name: `${first}, ${lossy.text}`, recordings: first, lossy, networks: [lossy] },
    })),
  ];
}
