/**
 * The solvers of the flow-matching ODE: their names, the ranges of their settings, and each one's
 * program of evaluations and combinations. Config check, session options, command line and saved
 * sessions read them here; solver.json repeats names and ranges for Python, and a test compares.
 *
 * Conditional flow matching: z_tau = (1 - tau) z_0 + tau eps, dz/dtau = v = eps - z_0. The solver
 * walks tau from 1 (noise) to 0 (latents). A program says what to compute in what order and knows
 * neither the network nor where numbers live, so the same program drives the GPU and the tests.
 */
import type { Fields, Range } from "./config_fields.ts";

/** The state is `z`; `trial` holds an intermediate point; velocities are kept in numbered slots. */
export type SolverOp =
  /** velocity[slot] = v(point, tau). */
  | { op: "evaluate"; point: "z" | "trial"; tau: number; slot: number }
  /** target = z + sum of coefficient x velocity[slot]; at most four terms. */
  | { op: "combine"; target: "z" | "trial"; terms: readonly Term[] };

interface Term {
  slot: number;
  coefficient: number;
}

/** A solver: the operations of step i, from taus[i] to taus[i + 1]. */
type Solver = (taus: readonly number[], i: number) => SolverOp[];

const evaluate = (point: "z" | "trial", tau: number, slot: number): SolverOp => (
  { op: "evaluate", point, tau, slot }
);
/** `terms`: pairs of slot and coefficient. */
const combine = (target: "z" | "trial", ...terms: [slot: number, coefficient: number][]) => ({
  op: "combine" as const,
  target,
  terms: terms.map(([slot, coefficient]) => ({ slot, coefficient })),
});
const at = (taus: readonly number[], i: number) => taus[i] ?? 0;
/** Length of step i; negative, because tau falls. */
const length = (taus: readonly number[], i: number) => at(taus, i + 1) - at(taus, i);

/** Names of the solvers. */
export type SolverName = "euler" | "midpoint" | "heun" | "ab2";

/** Every solver by name. A new one is an entry here, its name above, and in solver.json. */
const solvers: Record<SolverName, Solver> = {
  euler: (taus, i) => [evaluate("z", at(taus, i), 0), combine("z", [0, length(taus, i)])],
  midpoint(taus, i) {
    const [tau, step] = [at(taus, i), length(taus, i)];
    return [
      evaluate("z", tau, 0),
      combine("trial", [0, step / 2]),
      evaluate("trial", tau + step / 2, 1),
      combine("z", [1, step]),
    ];
  },
  heun(taus, i) {
    const [tau, step] = [at(taus, i), length(taus, i)];
    return [
      evaluate("z", tau, 0),
      combine("trial", [0, step]),
      evaluate("trial", tau + step, 1),
      combine("z", [0, step / 2], [1, step / 2]),
    ];
  },
  /** Adams-Bashforth of second order with variable steps; its first step is Euler's. */
  ab2(taus, i) {
    const step = length(taus, i);
    // Velocities alternate between two slots, so that the last step's is still there.
    const slot = i % 2;
    const half = i === 0 ? 0 : step / length(taus, i - 1) / 2;
    const older: [number, number][] = i === 0 ? [] : [[1 - slot, -step * half]];
    return [evaluate("z", at(taus, i), slot), combine("z", [slot, step * (1 + half)], ...older)];
  },
};
export const solverNames = Object.keys(solvers) as SolverName[];

/** How the flow-matching ODE is solved. */
export interface SolverConfig {
  /** The method. */
  name: SolverName;
  /** Solver steps from tau = 1 to tau = 0, at least 1. */
  steps: number;
  /** Time shift s: tau' = s tau / (1 + (s - 1) tau); 1 leaves tau as it is. */
  shift: number;
  /** Classifier-free guidance scale; 1 means none (one row set instead of two). */
  guidance: number;
}

/** What a solver's numbers may be, both ends included; steps are whole. */
export const solverRanges = {
  steps: [1, 1000],
  shift: [0.01, 100],
  guidance: [0, 100],
} as const satisfies Record<string, Range>;

/** What a new checkpoint's config says. */
export const defaultSolver: SolverConfig = { name: "euler", steps: 4, shift: 1, guidance: 1 };

/** Reads a solver from untrusted JSON. @throws InputError that names the key, its value and its range */
export function readSolver(fields: Fields): SolverConfig {
  return {
    name: fields.oneOf("name", solverNames),
    steps: fields.whole("steps", solverRanges.steps),
    shift: fields.number("shift", solverRanges.shift),
    guidance: fields.number("guidance", solverRanges.guidance),
  };
}

/** The taus of a walk: `steps` + 1 values from 1 down to 0, tau' = s tau / (1 + (s - 1) tau). */
export function solverTaus(steps: number, shift: number): number[] {
  return Array.from({ length: steps + 1 }, (_, i) => {
    const tau = 1 - i / steps;
    return (shift * tau) / (1 + (shift - 1) * tau);
  });
}

/**
 * The coefficient c when operation `index` evaluates a velocity that serves for nothing but the next
 * one, z += c velocity: then it need not be kept. Else undefined.
 */
export function soleUse(program: readonly SolverOp[], index: number): number | undefined {
  const op = program[index];
  const next = program[index + 1];
  if (op?.op !== "evaluate" || next?.op !== "combine" || next.target !== "z") return undefined;
  const [term, ...others] = next.terms;
  if (!term || others.length > 0 || term.slot !== op.slot) return undefined;
  for (const later of program.slice(index + 2)) {
    if (later.op === "evaluate" && later.slot === op.slot) break;
    if (later.op === "combine" && later.terms.some(({ slot }) => slot === op.slot)) {
      return undefined;
    }
  }
  return term.coefficient;
}

/** The program of a solver: the operations of all its steps. */
export function solverProgram(config: Omit<SolverConfig, "guidance">): SolverOp[] {
  const taus = solverTaus(config.steps, config.shift);
  return Array.from({ length: config.steps }, (_, i) => solvers[config.name](taus, i)).flat();
}

/** Evaluations of the network in a unit: a guided velocity takes two, with and without the unit's
 * observation and text. */
export function evaluationsPerUnit(config: SolverConfig): number {
  const velocities = solverProgram(config).filter(({ op }) => op === "evaluate").length;
  return velocities * (config.guidance === 1 ? 1 : 2);
}

/** How many velocities a program keeps. */
export function velocitySlots(program: readonly SolverOp[]): number {
  return 1 + Math.max(...program.map((op) => op.op === "evaluate" ? op.slot : -1));
}
