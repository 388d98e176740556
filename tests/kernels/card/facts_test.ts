import { assertEquals } from "@std/assert";
import {
  type Access,
  bankConflicts,
  type KernelFacts,
  sectors,
} from "../../../kernels/card/facts.ts";

const facts: KernelFacts = { form: "test", lanes: 64, registers: 0, accesses: [] };
const access = (bytes: 4 | 8 | 16, at: Access["at"]): Access => ({
  ...{ what: "x", memory: "storage", bytes, at },
});

Deno.test("sectors() counts those of 32 neighbouring lanes, and what is used of them", () => {
  const cases: [Access, count: number, used: number][] = [
    [access(4, (lane) => 4 * lane), 4, 1],
    [access(16, (lane) => 16 * lane), 16, 1],
    [access(16, () => 64), 1, 0.5],
    [access(4, (lane) => 128 * lane), 32, 1 / 8],
    [access(16, (lane) => 4096 * lane), 32, 0.5],
    [access(16, (lane) => 4096 * (lane >> 1) + 16 * (lane & 1)), 16, 1],
  ];
  for (const [one, count, used] of cases) assertEquals(sectors(facts, one), { count, used });
  const few = { ...facts, lanes: 8 };
  assertEquals(sectors(few, access(4, (lane) => 128 * lane)).count, 8);
});

Deno.test("bankConflicts() counts different words of a bank in one turn", () => {
  const cases: [Access, number][] = [
    [access(4, (lane) => 4 * lane), 1],
    [access(4, () => 0), 1],
    [access(4, (lane) => 8 * lane), 2],
    [access(4, (lane) => 128 * lane), 32],
    // Rows of 256 bytes, and of a vec4 more.
    [access(16, (lane) => 256 * lane), 8],
    [access(16, (lane) => 272 * lane), 1],
    [access(8, (lane) => 16 * lane), 2],
  ];
  for (const [one, most] of cases) assertEquals(bankConflicts(facts, one), most);
});
