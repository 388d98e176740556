import { assertEquals, assertThrows } from "@std/assert";
import { fill } from "../../../kernels/gpu/shader.ts";

Deno.test("fill() puts in texts, sums and lists", () => {
  const template = "{{type}} a = {{sum j < n: b$j * c}}; d({{list j < 2: e$ju}});";
  assertEquals(
    fill(template, { type: { wgsl: "f32" }, n: 3 }),
    "f32 a = b0 * c + b1 * c + b2 * c; d(e0u, e1u);",
  );
});

Deno.test("fill() repeats and chooses lines, blocks within blocks", () => {
  const template = `#for r < rows
x$r
#if even
#for j < 2
y$r$j
#end
#else
z
#end
#if !even
w
#end
#end
last`;
  assertEquals(
    fill(template, { rows: 2, even: true }).split("\n"),
    ["x0", "y00", "y01", "x1", "y10", "y11", "last"],
  );
  assertEquals(fill(template, { rows: 1, even: false }).split("\n"), ["x0", "z", "w", "last"]);
});

Deno.test("fill() refuses names without texts, texts without names, and open blocks", () => {
  const refused = [
    () => fill("{{a}}", {}),
    () => fill("b", { a: 1 }),
    () => fill("#for r < n\nx\n#end", {}),
    () => fill("#if a\nx", { a: true }),
    () => fill("#end", {}),
    () => fill("#iff a\n#end", { a: true }),
  ];
  for (const fails of refused) assertThrows(fails, RangeError);
});
