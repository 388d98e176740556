/** Agents that play parts, and everything else that `compare` opens. */
import { openConfig } from "../../../engine/checkpoint/checkpoint.ts";
import { InputError } from "../../../engine/config/errors.ts";
import type { AgentSession, AgentSpec, OpenedAgent } from "../../../io/agents/agent.ts";
import { type Openers, run } from "../../../io/commands/compare.ts";
import type { Traced } from "../../../io/compare/result.ts";
import type { UnitSession } from "../../../io/pace/pump.ts";
import { levelScores } from "../../../io/score/activity.ts";
import {
  captured,
  oraclePart,
  type Part,
  play,
  shortenSilent,
  silence,
  sources,
} from "../eval/players.ts";

export const config = await openConfig(new URL("../../../engine/models/nano-1", import.meta.url));

/** How a fake agent plays: the oracle's part, so many units late; with a cascade's trace. */
export interface Role {
  late: number;
  trace?: (unit: number) => Traced[];
  /** It is a recording of which this isn't known. */
  lacks?: AgentSession["lacks"];
  /** Digest of the answers, where others recorded them. */
  answers?: string;
  /** It has no answer. */
  isEmpty?: boolean;
  /** Fails at the recording that it opens as this one (from 0). */
  failsAt?: number;
}

/** What was opened: the names of recordings, by agent. */
export type Opened = Map<string, string[]>;

/** @param folder Of the recordings. */
export function openers(folder: string, roles: Record<string, Role>, opened: Opened): Openers {
  return {
    agent(spec: AgentSpec): Promise<OpenedAgent> {
      const role = roles[spec.text];
      if (!role) throw new InputError(`${spec.text}: no such fake`);
      const names: string[] = opened.get(spec.text) ?? [];
      opened.set(spec.text, names);
      return Promise.resolve({
        ...{ name: spec.text, line: "a player", config },
        settings: role.answers ? { kind: "recorded" } : { late: role.late },
        checkpointDigest: role.answers ?? spec.text,
        async open({ name }) {
          if (role.isEmpty) throw new InputError(`${spec.text}: holds no answer`);
          if (role.failsAt === names.length) throw new Error(`${spec.text}: killed`);
          names.push(name);
          const part = await oraclePart(`${folder}/${name}`, config);
          const session = traced(play(delayed(part, role.late)), role.trace);
          return role.lacks ? Object.assign(session, { lacks: role.lacks }) : session;
        },
        close: () => Promise.resolve(),
        programs: () => Promise.resolve([]),
      });
    },
    detector: () =>
      Promise.resolve({
        scores: (sounds) => Promise.resolve(sounds.map(levelScores)),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
    smartTurn: () => Promise.resolve(null),
  };
}

function delayed({ texts, media }: Part, late: number): Part {
  const before = Array.from({ length: late }, () => silence(config));
  return {
    texts: [...before.map(() => ""), ...texts],
    media: [...before, ...media].slice(0, media.length),
  };
}

function traced(session: UnitSession, trace: Role["trace"]): UnitSession {
  if (!trace) return session;
  return {
    push: (observation) => session.push(observation),
    end: () => session.end(),
    close: () => session.close(),
    async *[Symbol.asyncIterator]() {
      for await (const response of session) yield { ...response, trace: trace(response.unit) };
    },
  };
}

/** Runs the command with fakes. */
export const runFakes = (args: string[], open: Openers) =>
  run(args, { ...sources, judges: "none" }, open);

/** The same; what it writes is given back. */
export async function compared(args: string[], open: Openers) {
  const { result, out, err } = await captured(() => runFakes(args, open));
  return { code: result, text: out, said: err };
}

/** Recordings of the small set that tests shorten. */
export const names = ["100000", "100001"];

/** Units of a recording: its first question, the answer, and room for a late one. */
export const units = 46;
export const roles: Record<string, Role> = { quick: { late: 0 }, slow: { late: 2 } };

/** A folder of them in a folder. */
export async function recordings(folder: string): Promise<string> {
  const set = `${folder}/set`;
  for (const name of names) await shortenSilent(name, set, units);
  return set;
}
