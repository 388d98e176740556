/** The protocol of a comparison, as a referee asks for it. */
import type { ModelConfig } from "../../engine/config/config.ts";
import { basename } from "node:path";
import { unitLayout } from "../../engine/checkpoint/unit.ts";
import { type Provenance, quoted } from "../provenance/provenance.ts";
import { number } from "../eval/figures/table.ts";
import type { Condition } from "./conditions.ts";
import { type Agent, type Compared, letters } from "./output.ts";

/** What a cascade and the unified model don't have alike, whatever their settings; docs/settle.md says
 * more of each. */
const unequal = [
  "a cascade neither greets nor says 'mm': it has no module that would",
  "a cascade's modules see one another's words only: its recognizer can't use the picture, its voice " +
  "can't use how the question was asked",
  "a cascade's language rules are exact, and the unified model had to learn them",
  "of two sessions of one checkpoint a cascade's reader runs one step of the solver, because its " +
  "voice and picture aren't used",
  "the cascade's detectors (Silero, Smart Turn) were trained on human speech by others, and the " +
  "unified model on synthesizers alone",
];

/** Lines of the protocol. */
export function protocolOf({ agents, compared, provenance, config, choice, seedsText }: {
  agents: readonly Agent[];
  compared: readonly Compared[];
  provenance: Provenance;
  config: ModelConfig;
  choice: { seeds: string | undefined; seconds: number; folder: string };
  /** What the seeds of its recordings are; null: they have none. */
  seedsText: string | null;
}): [what: string, text: string | string[]][] {
  const { machine, command, version, commit, deno, run, seeds } = provenance;
  const layout = unitLayout(config);
  const { user, agent } = layout;
  const memory = machine.memoryBytes === null
    ? "memory not known"
    : `${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  return [
    ["question", "does one model that hears, sees and speaks take turns better than modules do?"],
    [
      "recordings",
      `${
        choice.seeds === undefined
          ? choice.folder
          : `made conversations of ${choice.seconds} s with seeds ${choice.seeds}`
      }; ${compared.map(({ name, recordings }) => `${name}: ${recordings}`).join("; ")}${
        seedsText === null ? "" : `; ${seedsText}`
      }`,
    ],
    [
      "scale",
      agents.map(({ name, paper }, i) =>
        `${letters[i]} ${name}: ${
          paper ? `${(paper.parameters / 1e6).toFixed(2)} million parameters` : "not known"
        }`
      ).join("; "),
    ],
    [
      "stream",
      `units of ${user.unitMs} ms; user ${user.width}x${user.height} at ${user.fps}/s and ` +
      `${user.sampleRate} Hz; agent ${agent.width}x${agent.height} at ${agent.fps}/s and ` +
      `${agent.sampleRate} Hz`,
    ],
    [
      "token rates",
      `${number(layout.tokens * 1000 / config.unit_ms)} tokens a second and session, of them ` +
      `${
        number(layout.agentText * 1000 / config.unit_ms)
      } of agent text; a cascade has two sessions`,
    ],
    ...agents.map(({ line, settings }, i): [string, string[]] => [
      `configuration of ${letters[i]}`,
      [line, ...Object.entries(settings).map(([key, value]) => `${key}: ${inWords(value)}`)],
    ]),
    [
      "hardware",
      `${machine.cpu ?? "unknown processor"}, ${machine.cores} cores, ${memory}, ${machine.os}`,
    ],
    [
      "program",
      `wanstream ${version}, commit ${
        commit ?? "unknown"
      }, Deno ${deno}, ${run.date}, noise seed ` +
      `${seeds.noise}: ${command}`,
    ],
    [
      "latency",
      "from the last sample of the user's turn (the truth record's; without one the detector's) to " +
      "the first audible sample of the answer; unit k is ready at max(its arrival, the unit before) " +
      "and its compute time, and heard when it has crossed the network and the sounding unit before " +
      "it is over; answers that begin before the turn is over don't count, and are counted apart",
    ],
    [
      "compute time",
      "wall time from a unit's observation to its response, nothing else under way in the program; " +
      "it is this machine's, so every latency is given without it too",
    ],
    [
      "intervals",
      "95 % of draws of conversations with replacement; differences are paired by conversation",
    ],
    ["what isn't equal", unequal],
  ];
}

/** A setting as people read it. */
function inWords(value: unknown): string {
  if (Array.isArray(value)) return value.map(inWords).join(", ");
  if (value === null || typeof value !== "object") return String(value ?? "none");
  return Object.entries(value).map(([key, inner]) => `${key} ${inWords(inner)}`).join(", ");
}

/** The lines that open a recording of the comparison in `inspect`, as a shell takes them: where a made
 * one wasn't kept, first one that makes it again. */
export function inspectLines(
  agents: readonly Pick<Agent, "name">[],
  { recordings, lossy }: Condition,
  name: string,
  { seeds, seconds, keep, folder, noiseSeed }: {
    seeds: string | undefined;
    seconds: number;
    keep: string | undefined;
    folder: string;
    noiseSeed: number;
  },
): string[] {
  const both = agents.map((one) => one.name);
  const made = keep ?? "out/talks";
  const [seed = "", swap = null] = [/^\d+/.exec(name)?.[0], /-(card|question)$/.exec(name)];
  const again = [
    ...["wanstream", "compare", ...both, "--seeds", seed, "--seconds", `${seconds}`],
    ...(recordings === "quiet" ? [] : ["--conditions", recordings]),
    ...(swap ? ["--swaps", "1"] : []),
    ...["--keep", made, "--only", "A", "-o", `${made}/results`],
  ];
  const inFolder = basename(folder) === name ? folder : `${folder}/${name}`;
  const inspect = [
    ...["wanstream", "inspect", ...both, "--recording"],
    seeds === undefined ? inFolder : `${made}/${name}`,
    ...(lossy ? ["--network", lossy.text] : []),
    ...(noiseSeed ? ["--seed", `${noiseSeed}`] : []),
    ...["-o", `${name}.html`],
  ];
  const isMade = seeds !== undefined && keep === undefined;
  return [...(isMade ? [again] : []), inspect].map((words) => words.map(quoted).join(" "));
}
