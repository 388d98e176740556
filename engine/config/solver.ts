/**
 * The flow-matching ODE as a program of evaluations and combinations.
 *
 * Conditional flow matching: z_tau = (1 - tau) z_0 + tau eps, dz/dtau = v = eps - z_0. The solver
 * walks tau from 1 (noise) to 0 (latents). A program says what to compute in what order and knows
 * neither the network nor where numbers live, so the same program drives the GPU and the tests.
 */
import type { SolverConfig, SolverName } from "./config.ts";

/** The state is `z`; `trial` holds an intermediate point; velocities are kept in slots 0 and 1. */
export type SolverOp =
  /** velocity[slot] = v(point, tau). */
  | { op: "evaluate"; point: "z" | "trial"; tau: number; slot: number }
  /** target = z + sum of coefficient x velocity[slot]. */
  | {
    op: "combine";
    target: "z" | "trial";
    terms: readonly { slot: number; coefficient: number }[];
  };

/** The names of the solvers and how many network evaluations each step takes. */
export const solvers: Readonly<Record<SolverName, { evaluationsPerStep: number; order: number }>> =
  {
    euler: { evaluationsPerStep: 1, order: 1 },
    midpoint: { evaluationsPerStep: 2, order: 2 },
    heun: { evaluationsPerStep: 2, order: 2 },
    /** Adams-Bashforth of second order with variable steps; its first step is Euler's. */
    ab2: { evaluationsPerStep: 1, order: 2 },
  };

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

/** The program of a solver. */
export function solverProgram(config: Omit<SolverConfig, "guidance">): SolverOp[] {
  const taus = solverTaus(config.steps, config.shift);
  const program: SolverOp[] = [];
  let previousStep = 0;
  for (let i = 0; i < config.steps; i++) {
    const tau = taus[i] ?? 0;
    const step = (taus[i + 1] ?? 0) - tau;
    switch (config.name) {
      case "euler":
        program.push(
          { op: "evaluate", point: "z", tau, slot: 0 },
          { op: "combine", target: "z", terms: [{ slot: 0, coefficient: step }] },
        );
        break;
      case "midpoint":
        program.push(
          { op: "evaluate", point: "z", tau, slot: 0 },
          { op: "combine", target: "trial", terms: [{ slot: 0, coefficient: step / 2 }] },
          { op: "evaluate", point: "trial", tau: tau + step / 2, slot: 1 },
          { op: "combine", target: "z", terms: [{ slot: 1, coefficient: step }] },
        );
        break;
      case "heun":
        program.push(
          { op: "evaluate", point: "z", tau, slot: 0 },
          { op: "combine", target: "trial", terms: [{ slot: 0, coefficient: step }] },
          { op: "evaluate", point: "trial", tau: tau + step, slot: 1 },
          {
            op: "combine",
            target: "z",
            terms: [{ slot: 0, coefficient: step / 2 }, { slot: 1, coefficient: step / 2 }],
          },
        );
        break;
      case "ab2": {
        // Velocities alternate between the two slots, so that the last step's is still there.
        const slot = i % 2;
        const half = i === 0 ? 0 : step / previousStep / 2;
        const terms = [{ slot, coefficient: step * (1 + half) }];
        if (i > 0) terms.push({ slot: 1 - slot, coefficient: -step * half });
        program.push(
          { op: "evaluate", point: "z", tau, slot },
          { op: "combine", target: "z", terms },
        );
        break;
      }
    }
    previousStep = step;
  }
  return program;
}
