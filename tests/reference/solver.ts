/** Runs a solver program on plain numbers. */
import type { SolverOp } from "../../engine/config/solver.ts";

export function runSolver(
  program: readonly SolverOp[],
  start: readonly number[],
  velocity: (z: readonly number[], tau: number) => number[],
): number[] {
  const points = { z: [...start], trial: [...start] };
  const velocities: number[][] = [];
  for (const op of program) {
    if (op.op === "evaluate") {
      velocities[op.slot] = velocity(points[op.point], op.tau);
    } else {
      points[op.target] = points.z.map((z, i) =>
        op.terms.reduce((sum, t) => sum + t.coefficient * (velocities[t.slot]?.[i] ?? NaN), z)
      );
    }
  }
  return points.z;
}
