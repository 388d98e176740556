import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  evaluationsPerUnit,
  soleUse,
  type SolverName,
  solverNames,
  solverProgram,
  solverRanges,
  solverTaus,
  velocitySlots,
} from "../../../engine/config/solver.ts";
import facts from "../../../engine/config/solver.json" with { type: "json" };
import { runSolver } from "../../reference/solver.ts";

/** dz/dtau = -2 z + cos(3 tau) from z(1) = 1: the value at tau = 0 is known. */
const field = (z: readonly number[], tau: number) => z.map((v) => -2 * v + Math.cos(3 * tau));
const particular = (tau: number) => (2 * Math.cos(3 * tau) + 3 * Math.sin(3 * tau)) / 13;
const exact = particular(0) + (1 - particular(1)) * Math.exp(2);

function error(name: SolverName, steps: number, shift: number): number {
  const [z = NaN] = runSolver(solverProgram({ name, steps, shift }), [1], field);
  return Math.abs(z - exact);
}

/** Order of the global error in the step's length, and network evaluations of a step. */
const expected: Record<SolverName, { order: number; evaluations: number }> = {
  euler: { order: 1, evaluations: 1 },
  midpoint: { order: 2, evaluations: 2 },
  heun: { order: 2, evaluations: 2 },
  ab2: { order: 2, evaluations: 1 },
};

for (const name of solverNames) {
  Deno.test(`${name}'s error falls with steps as its order says`, () => {
    for (const shift of [1, 2]) {
      const slope = Math.log2(error(name, 64, shift) / error(name, 128, shift));
      assertAlmostEquals(slope, expected[name].order, 0.2, `shift ${shift}`);
    }
  });

  Deno.test(`${name} solves a straight path exactly in one step`, () => {
    // v = eps - z0 is constant on the straight path: any solver lands on z0.
    const [z0, eps] = [0.25, -1.5];
    const program = solverProgram({ name, steps: 1, shift: 3 });
    const [z = NaN] = runSolver(program, [eps], () => [eps - z0]);
    assertAlmostEquals(z, z0, 1e-12);
  });

  Deno.test(`${name} evaluates as often as it says`, () => {
    const program = solverProgram({ name, steps: 5, shift: 1 });
    const evaluations = program.filter((op) => op.op === "evaluate").length;
    assertEquals(evaluations, 5 * expected[name].evaluations);
  });
}

Deno.test("solverTaus() falls from 1 to 0 and a shift above 1 stays longer near noise", () => {
  for (const shift of [0.5, 1, 3]) {
    const taus = solverTaus(7, shift);
    assertEquals([taus[0], taus.at(-1), taus.length], [1, 0, 8]);
    taus.slice(1).forEach((tau, i) => assert(tau < (taus[i] ?? 0)));
  }
  assert((solverTaus(2, 3)[1] ?? 0) > 0.5);
});

Deno.test("solver.json, which Python reads, says what the table says", () => {
  assertEquals(facts.names, solverNames);
  assertEquals(facts.ranges as unknown, solverRanges);
});

Deno.test("velocitySlots() counts the velocities that a program keeps", () => {
  const slots = (name: SolverName) => velocitySlots(solverProgram({ name, steps: 3, shift: 1 }));
  assertEquals(solverNames.map(slots), [1, 2, 2, 2]);
});

Deno.test("evaluationsPerUnit() counts a guided velocity as two", () => {
  const counts = (guidance: number) =>
    solverNames.map((name) => evaluationsPerUnit({ name, steps: 4, shift: 1, guidance }));
  assertEquals([counts(1), counts(1.5)], [[4, 8, 8, 4], [8, 16, 16, 8]]);
});

Deno.test("soleUse() finds the velocities that serve for one step of z only", () => {
  const uses = (name: SolverName) => {
    const program = solverProgram({ name, steps: 2, shift: 1 });
    return program.map((_, i) => soleUse(program, i));
  };
  assertEquals(uses("euler"), [-0.5, undefined, -0.5, undefined]);
  const midpoint = [undefined, undefined, -0.5, undefined];
  assertEquals(uses("midpoint"), [...midpoint, ...midpoint]);
  assertEquals(uses("heun"), new Array(8).fill(undefined));
  // The first velocity is read again in the second step.
  assertEquals(uses("ab2"), new Array(4).fill(undefined));
});
