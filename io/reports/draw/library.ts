/**
 * Prints Vega and Vega-Lite as pages take them: a JSON list of two scripts on standard output.
 *
 *     deno run --config io/reports/draw/deno.json --allow-read io/reports/draw/library.ts
 */
import { findPackageJSON } from "node:module";
import { dirname, join } from "node:path";

const scripts = ["vega", "vega-lite"].map(async (name) => {
  // What a package lets be imported brings it here; the file for browsers lies beside it.
  const schema = `${name}/${name}-schema.json`;
  await import(schema, { with: { type: "json" } });
  const found = findPackageJSON(name, import.meta.url);
  return await Deno.readTextFile(join(dirname(found ?? ""), "build", `${name}.min.js`));
});
const bytes = new TextEncoder().encode(JSON.stringify(await Promise.all(scripts)));
for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
