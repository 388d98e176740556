/**
 * Draws Vega-Lite specifications: a JSON list of them on standard input, a JSON list of SVG texts on
 * standard output.
 *
 *     deno run --config io/reports/draw/deno.json io/reports/draw/draw.ts < specs.json
 *
 * A project of its own: its packages are downloaded only when plots are drawn. It needs no
 * permissions.
 */

interface Drawing {
  compile(spec: object): { spec: object };
}

interface Vega {
  parse(spec: object): object;
  View: new (runtime: object, options: { renderer: "none" }) => { toSVG(): Promise<string> };
}

// In variables, so that checking types of the whole repository fetches nothing.
const [vegaName, liteName] = ["vega", "vega-lite"];
const vega: Vega = await import(vegaName);
const lite: Drawing = await import(liteName);

const specs: object[] = JSON.parse(await new Response(Deno.stdin.readable).text());
const drawn: string[] = [];
for (const spec of specs) {
  const view = new vega.View(vega.parse(lite.compile(spec).spec), { renderer: "none" });
  drawn.push(await view.toSVG());
}
const bytes = new TextEncoder().encode(JSON.stringify(drawn));
for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
