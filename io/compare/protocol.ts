/** The protocol of a comparison, as a referee asks for it. */
import type { ModelConfig } from "../../engine/config/config.ts";
import { unitLayout } from "../../engine/checkpoint/unit.ts";
import type { Provenance } from "../provenance/provenance.ts";
import { number } from "../eval/figures/table.ts";
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
export function protocolOf({ agents, compared, provenance, config, choice }: {
  agents: readonly Agent[];
  compared: readonly Compared[];
  provenance: Provenance;
  config: ModelConfig;
  choice: { seeds: string | undefined; seconds: number; folder: string };
}): [what: string, text: string][] {
  const { machine, command, version, commit, deno, run, seeds } = provenance;
  const layout = unitLayout(config);
  const { user, agent } = layout;
  const memory = machine.memoryBytes === null
    ? "memory not known"
    : `${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  const fields = (settings: Record<string, unknown>) =>
    Object.entries(settings).map(([key, value]) => `${key} ${JSON.stringify(value)}`).join(", ");
  return [
    ["question", "does one model that hears, sees and speaks take turns better than modules do?"],
    [
      "recordings",
      `${
        choice.seeds === undefined
          ? choice.folder
          : `made conversations of ${choice.seconds} s with seeds ${choice.seeds}`
      }; ${compared.map(({ name, recordings }) => `${name}: ${recordings}`).join("; ")}`,
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
    ...agents.map(({ line, settings }, i): [string, string] => [
      `configuration of ${letters[i]}`,
      `${line}; ${fields(settings)}`,
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
    ["what isn't equal", unequal.join("; ")],
  ];
}
