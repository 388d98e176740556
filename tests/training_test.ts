/** What the training's tests take for the engine's is what the engine makes now. */
import { assert } from "@std/assert";
import { fixtures } from "../scripts/train/fixtures.ts";
import { Gpu } from "../kernels/gpu/device.ts";

/** Where two JSON values differ, numbers by more than a ten-thousandth part; "" where they don't. */
function difference(a: unknown, b: unknown, path = ""): string {
  if (typeof a === "number" && typeof b === "number") {
    return Math.abs(a - b) <= 1e-4 * Math.max(1, Math.abs(b)) ? "" : `${path}: ${a}, not ${b}`;
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
    return a === b ? "" : `${path}: ${a}, not ${b}`;
  }
  const [x, y] = [Object.entries(a), new Map(Object.entries(b))];
  if (x.length !== y.size) return `${path}: ${x.length} entries, not ${y.size}`;
  for (const [key, value] of x) {
    const found = difference(value, y.get(key), `${path}/${key}`);
    if (found) return found;
  }
  return "";
}

Deno.test("the training's fixtures are what the engine makes", async () => {
  const path = new URL("../scripts/train/tests/fixtures/engine.json", import.meta.url);
  const committed = JSON.parse(await Deno.readTextFile(path));
  const gpu = await Gpu.open("default");
  const made = JSON.parse(JSON.stringify(await fixtures(gpu)));
  gpu.destroy();
  const found = difference(committed, made);
  assert(found === "", `${found}: run scripts/train/fixtures.ts, then the training's tests`);
});
