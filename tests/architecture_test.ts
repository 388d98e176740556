/** The floors: io -> engine -> kernels, each shader beside its kernel, each link in the docs alive. */
import { assert, assertEquals } from "@std/assert";

const root = new URL("../", import.meta.url);

/** Paths from the root of all files under a folder. */
function filesUnder(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].flatMap((entry) =>
    entry.isDirectory ? filesUnder(`${folder}${entry.name}/`) : [`${folder}${entry.name}`]
  ).sort();
}

const read = (path: string) => Deno.readTextFileSync(new URL(path, root));

function exists(path: string): boolean {
  try {
    Deno.statSync(new URL(path, root));
    return true;
  } catch {
    return false;
  }
}

/** A path relative to a file, from the root. */
function resolve(from: string, to: string): string {
  return decodeURI(new URL(to, new URL(from, root)).pathname).slice(
    decodeURI(root.pathname).length,
  );
}

const floors = ["main.ts", ...["io/", "engine/", "kernels/"].flatMap(filesUnder)];
const sources = floors.filter((path) => path.endsWith(".ts") && exists(path));

/** What a source names by a relative path: imports, Workers, WGSL, data. Comments don't count. */
function references(path: string): string[] {
  const code = read(path).replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
  const names = code.matchAll(/["'](\.\.?\/[^"'\s]*\.[a-z0-9]+)["']/g);
  return [...names].map(([, name = ""]) => resolve(path, name));
}

/** `from -> to` for each reference that `allowed` refuses. */
function forbidden(from: (path: string) => boolean, allowed: (path: string) => boolean): string[] {
  return sources.filter(from).flatMap((path) =>
    references(path).filter((to) => !allowed(to)).map((to) => `${path} -> ${to}`)
  );
}

Deno.test("the floors have files, and what they import is found by this test", () => {
  assert(sources.some((path) => path.startsWith("kernels/")));
  assert(references("engine/errors.ts").includes("kernels/errors.ts"));
});

Deno.test("kernels import only kernels", () => {
  const isKernel = (path: string) => path.startsWith("kernels/");
  assertEquals(forbidden(isKernel, isKernel), []);
});

Deno.test("the engine imports only itself and kernels, and no WGSL", () => {
  assertEquals(
    forbidden(
      (path) => path.startsWith("engine/"),
      (to) => /^(engine|kernels)\//.test(to) && !to.endsWith(".wgsl"),
    ),
    [],
  );
});

Deno.test("io imports only io, the engine and kernels", () => {
  assertEquals(
    forbidden((path) => path.startsWith("io/"), (to) => /^(io|engine|kernels)\//.test(to)),
    [],
  );
});

Deno.test("main.ts only chooses a command", () => {
  assertEquals(
    forbidden(
      (path) => path === "main.ts",
      (to) =>
        to.startsWith("io/commands/") || /^(io|engine|kernels)\/errors\.ts$/.test(to) ||
        to === "io/options.ts",
    ),
    [],
  );
});

Deno.test("in the engine only checkpoint.ts opens files, and nothing starts programs", () => {
  const opens =
    /\bDeno\.(open|read|write|create|make|mkdir|remove|rename|copy|truncate|symlink|link|l?stat|Command|connect|listen)\w*\(|new Deno\.Command|["']node:(fs|child_process|net)/;
  const openers = sources.filter((path) => path.startsWith("engine/") && opens.test(read(path)));
  assertEquals(openers, ["engine/checkpoint.ts"]);
});

Deno.test("every shader lies in kernels beside the one file that dispatches it", () => {
  const shaders = floors.filter((path) => path.endsWith(".wgsl"));
  assert(shaders.length > 0);
  for (const shader of shaders) {
    const users = sources.filter((path) => references(path).includes(shader));
    assertEquals(users.length, 1, `${shader} is used by ${users.join(" and ") || "nobody"}`);
    assertEquals([shader, ...users].map((path) => resolve(path, ".")), ["kernels/", "kernels/"]);
  }
});

/** The anchors of a page's headings, as GitHub makes them. */
function anchors(page: string): string[] {
  return [...page.matchAll(/^#+ +(.*)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-")
  );
}

Deno.test("every link in the docs leads to a file and a heading of this repository", () => {
  const top = [...Deno.readDirSync(root)].filter((entry) => entry.isFile).map(({ name }) => name);
  const all = [
    ...top,
    ...["docs/", "samples/", "engine/", "tests/"].filter(exists).flatMap(filesUnder),
  ];
  const pages = all.filter((path) => path.endsWith(".md"));
  assert(pages.length > 0);
  const dead = pages.flatMap((page) => {
    const text = read(page).replace(/^```[\s\S]*?^```/gm, "");
    const links = [
      ...text.matchAll(/\]\(([^)\s]+)[^)]*\)/g),
      ...text.matchAll(/(?:src|href)="([^"]+)"/g),
    ];
    return links.map(([, link = ""]) => link).filter((link) => {
      if (/^[a-z]+:/.test(link)) return false;
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : resolve(page, path);
      return !exists(target) ||
        (anchor !== undefined && !anchors(read(target)).includes(anchor));
    }).map((link) => `${page} -> ${link}`);
  });
  assertEquals(dead, []);
});

Deno.test("deno.json links each jsr: package to a stand-in of its name", () => {
  const config: { links: string[]; imports: Record<string, string> } = JSON.parse(
    read("deno.json"),
  );
  const names = config.links.map((folder) => JSON.parse(read(`${folder}/deno.json`)).name);
  const fromJsr = Object.entries(config.imports).filter(([, to]) => to.startsWith("jsr:"));
  assertEquals(names.sort(), fromJsr.map(([name]) => name).sort());
});

Deno.test("deno.lock names no host, so that every registry can serve it", () => {
  assertEquals(read("deno.lock").match(/https?:\/\/[^"]*/g), null);
});

Deno.test("every file that a task runs exists, and no task asks for all permissions", () => {
  const { tasks }: { tasks: Record<string, { command: string }> } = JSON.parse(read("deno.json"));
  for (const [name, { command }] of Object.entries(tasks)) {
    assert(!/(^| )(-A|--allow-all)( |$)/.test(command), name);
    for (const [file] of command.matchAll(/\b(?:scripts\/\w+\.ts|samples\/\S+)/g)) {
      assert(exists(file), `task ${name} names ${file}`);
    }
  }
});
