import {
  assert,
  assertAlmostEquals,
  assertEquals,
  AssertionError,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";

/** True when the check lets the case pass; only AssertionErrors count as a failure. */
function passes(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof AssertionError) return false;
    throw error;
  }
}

Deno.test("assertEquals() compares by content, whatever the order in sets, maps and objects", () => {
  const same: [unknown, unknown][] = [
    [NaN, NaN],
    [0, -0],
    [{ a: 1, b: [2, { c: 3 }] }, { b: [2, { c: 3 }], a: 1 }],
    [new Set([1, new Set([2, 3])]), new Set([new Set([3, 2]), 1])],
    [new Map([[{ x: 1 }, "a"], [{ x: 2 }, "b"]]), new Map([[{ x: 2 }, "b"], [{ x: 1 }, "a"]])],
    [new Float32Array([1, NaN]), new Float32Array([1, NaN])],
    [new Date(5), new Date(5)],
    [/a/g, /a/g],
    [Object.create(null), {}],
    [{ [Symbol.for("k")]: 1 }, { [Symbol.for("k")]: 1 }],
  ];
  for (const [a, b] of same) assertEquals(a, b);
});

Deno.test("assertEquals() sees each difference", () => {
  const different: [unknown, unknown][] = [
    [1, "1"],
    [null, undefined],
    [[1, 2], [1, 2, 3]],
    [[, 1], [1]],
    [{ a: undefined }, {}],
    [{ a: undefined, b: 1 }, { b: 1, c: undefined }],
    [new Set([1, 1, 2]), new Set([1, 2, 3])],
    [new Map([["a", 1]]), new Map([["a", 2]])],
    [new Uint8Array([1]), new Int8Array([1])],
    [new Float32Array([1]), new Float32Array([1.5])],
    [new Date(5), new Date(6)],
    [new Error("a"), new Error("b")],
    [new TypeError("a"), new RangeError("a")],
    [{}, []],
    [/a/, /a/i],
  ];
  for (const [a, b] of different) assertNotEquals(a, b);
});

Deno.test("assertEquals() ends on values that contain themselves", () => {
  const loop = (end: number) => {
    const value: { self?: unknown; end: number } = { end };
    value.self = value;
    return value;
  };
  assertEquals(loop(1), loop(1));
  assertNotEquals(loop(1), loop(2));
});

Deno.test("assertEquals() shows the lines that differ and the caller's words", () => {
  const error = assertThrows(
    () => assertEquals({ same: 1, text: "is" }, { same: 1, text: "should be" }, "in the test"),
    AssertionError,
    "in the test",
  );
  assertStringIncludes(error.message, '-   text: "is"');
  assertStringIncludes(error.message, '+   text: "should be"');
  assert(!error.message.includes("same"));
});

Deno.test("assertNotEquals() fails on equal values", () => {
  assert(!passes(() => assertNotEquals([1], [1])));
  assert(passes(() => assertNotEquals([1], [2])));
});

Deno.test("assertAlmostEquals() takes a tolerance, by default 1e-7 of what is expected", () => {
  assert(passes(() => assertAlmostEquals(1 + 9e-8, 1)));
  assert(!passes(() => assertAlmostEquals(1 + 2e-7, 1)));
  assert(passes(() => assertAlmostEquals(1.1, 1, 0.2)));
  assert(!passes(() => assertAlmostEquals(NaN, 1, 10)));
  assert(passes(() => assertAlmostEquals(Infinity, Infinity)));
});

Deno.test("assertThrows() checks class and message and gives the error back", () => {
  const boom = () => {
    throw new RangeError("too far");
  };
  assertEquals(assertThrows(boom, RangeError, "far").message, "too far");
  assertEquals(assertThrows(boom, Error, /^too/).message, "too far");
  assert(!passes(() => assertThrows(boom, TypeError)));
  assert(!passes(() => assertThrows(boom, RangeError, "near")));
  assert(!passes(() => assertThrows(() => {})));
});

Deno.test("assertRejects() wants a rejection, not a throw", async () => {
  const error = await assertRejects(
    () => Promise.reject(new RangeError("late")),
    RangeError,
    "late",
  );
  assertEquals(error.message, "late");
  await assertRejects(() => assertRejects(() => Promise.resolve(1)), AssertionError, "to reject");
  await assertRejects(
    () =>
      assertRejects(() => {
        throw new Error("early");
      }),
    AssertionError,
    "throws when expected to reject",
  );
});
