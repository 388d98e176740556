/** The house: floors and rooms, no circles, each shader beside its kernel, each link in the docs alive. */
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

/** A source without its comments. */
const code = (path: string) =>
  read(path).replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");

/** What a source names by a relative path: imports, Workers, WGSL, data, folders. */
function references(path: string): string[] {
  const names = code(path).matchAll(/["'](\.\.?\/[^"'\s]*)["']/g);
  return [...names].map(([, name = ""]) => resolve(path, name));
}

/** `from -> to` for each reference that `allowed` refuses. */
function forbidden(from: (path: string) => boolean, allowed: (path: string) => boolean): string[] {
  return sources.filter(from).flatMap((path) =>
    references(path).filter((to) => !allowed(to)).map((to) => `${path} -> ${to}`)
  );
}

/**
 * The house: floors from top to bottom, and in each floor the lines of its rooms from top to bottom.
 * A room may import what stands in lower lines of its floor, and any room of a lower floor.
 */
const house: Record<string, string[][]> = {
  io: [
    ["mod"],
    ["commands"],
    ["bench", "compare", "codec", "inspect"],
    ["agents"],
    ["eval"],
    ["score"],
    ["batch"],
    ["eval/figures"],
    ["eval/measures"],
    ["layouts"],
    ["run"],
    ["ends", "saved"],
    ["ffmpeg", "pace"],
    ["media"],
    ["cli", "reports"],
    ["provenance"],
    ["system"],
  ],
  engine: [
    ["mod"],
    ["cascade"],
    ["session", "bench"],
    ["roles"],
    ["model", "models"],
    ["families"],
    ["checkpoint"],
    ["layers"],
    ["layers/ops"],
    ["weights"],
    ["config"],
  ],
  kernels: [
    ["measure"],
    ["span"],
    ["attention", "tokens"],
    ["matmul", "codec", "flow"],
    ["gpu"],
    ["card"],
  ],
};
const floorNames = Object.keys(house);

/** Floor and room of a path; a file beside the rooms (mod.ts) stands in the room `mod`. */
function roomOf(path: string): { floor: number; room: string } {
  const [floor = "", ...rest] = path.split("/");
  const folders = rest.slice(0, -1).join("/");
  const lines = (house[floor] ?? []).flat();
  const room = lines.filter((name) => folders === name || folders.startsWith(`${name}/`))
    .sort((a, b) => b.length - a.length)[0];
  return { floor: floorNames.indexOf(floor), room: room ?? (folders === "" ? "mod" : folders) };
}

/** Why one file may not refer to another; null where it may. The program's name and version come
 * from deno.json. */
function upward(from: string, to: string): string | null {
  if (/^io\/(system\/program|provenance\/repository)\.ts$/.test(from) && to === "deno.json") {
    return null;
  }
  const [a, b] = [roomOf(from), roomOf(to)];
  if (b.floor === -1) return "leaves the house";
  if (b.floor !== a.floor) return b.floor < a.floor ? "points to a higher floor" : null;
  if (a.room === b.room) return null;
  const lines = house[floorNames[a.floor] ?? ""] ?? [];
  const line = (room: string) => lines.findIndex((rooms) => rooms.includes(room));
  return line(b.room) > line(a.room) ? null : "points to a room that isn't lower";
}

/** Circles of a graph: each strongly connected set of two files or more (Tarjan 1972). */
function circles(graph: Map<string, string[]>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (path: string) => {
    index.set(path, index.size);
    low.set(path, index.size - 1);
    stack.push(path);
    for (const to of graph.get(path) ?? []) {
      if (!graph.has(to)) continue;
      if (!index.has(to)) visit(to);
      if (stack.includes(to)) low.set(path, Math.min(low.get(path) ?? 0, low.get(to) ?? 0));
    }
    if (low.get(path) !== index.get(path)) return;
    const circle = stack.splice(stack.indexOf(path));
    if (circle.length > 1) found.push(circle.sort());
  };
  for (const path of graph.keys()) if (!index.has(path)) visit(path);
  return found;
}

Deno.test("the floors have files, and what they import is found by this test", () => {
  assert(sources.some((path) => path.startsWith("kernels/")));
  assert(references("engine/config/errors.ts").includes("kernels/gpu/errors.ts"));
});

Deno.test("circles() finds a planted circle, and upward() a planted arrow", () => {
  const graph = new Map([["a", ["b"]], ["b", ["c", "d"]], ["c", ["a"]], ["d", []]]);
  assertEquals(circles(graph), [["a", "b", "c"]]);
  assertEquals(circles(new Map([["a", ["b"]], ["b", []]])), []);
  assertEquals(upward("kernels/gpu/plan.ts", "engine/config/config.ts") === null, false);
  assertEquals(upward("engine/layers/ops/conv.ts", "engine/model/model.ts") === null, false);
  assertEquals(upward("io/run/x.ts", "scripts/setup.ts") === null, false);
  assertEquals(upward("io/eval/measures/x.ts", "io/eval/y.ts") === null, false);
  assertEquals(upward("io/eval/x.ts", "io/eval/measures/y.ts"), null);
  assertEquals(upward("io/run/x.ts", "engine/session/session.ts"), null);
});

Deno.test("every file stands in a room of the house", () => {
  const rooms = (path: string) => house[path.split("/")[0] ?? ""]?.flat() ?? [];
  const homeless = sources.filter((path) =>
    path !== "main.ts" && !rooms(path).includes(roomOf(path).room)
  );
  assertEquals(homeless, []);
});

Deno.test("imports point down: between floors, and between the rooms of a floor", () => {
  const wrong = sources.filter((path) => path !== "main.ts").flatMap((path) =>
    references(path).flatMap((to) => {
      const reason = upward(path, to);
      return reason === null ? [] : [`${path} -> ${to}: ${reason}`];
    })
  );
  assertEquals(wrong, []);
});

Deno.test("no files import each other in a circle, types included", () => {
  const graph = new Map(sources.map((path) => [path, references(path)]));
  assertEquals(circles(graph), []);
});

Deno.test("only kernels name WGSL", () => {
  assertEquals(
    forbidden((path) => !path.startsWith("kernels/"), (to) => !to.endsWith(".wgsl")),
    [],
  );
});

Deno.test("no room has more than fifteen files, a kernel's .ts and .wgsl counted as one", () => {
  const counts = new Map<string, Set<string>>();
  for (const path of floors.filter((path) => /\.(ts|wgsl)$/.test(path))) {
    const folder = path.slice(0, path.lastIndexOf("/"));
    const names = counts.get(folder) ?? new Set();
    counts.set(folder, names.add(path.slice(folder.length).replace(/\.\w+$/, "")));
  }
  assertEquals([...counts].filter(([, names]) => names.size > 15).map(([folder]) => folder), []);
});

Deno.test("main.ts only chooses a command, and hands it what stands beside the floors", () => {
  assertEquals(
    forbidden(
      (path) => path === "main.ts",
      (to) =>
        to.startsWith("io/commands/") || /^(io|engine)\/\w+\/errors\.ts$/.test(to) ||
        [
          "io/cli/commands.ts",
          "io/cli/where_called.ts",
          "io/provenance/repository.ts",
          "io/system/program.ts",
          "io/system/terminal.ts",
        ].includes(to) ||
        /^(scripts|samples)\//.test(to),
    ),
    [],
  );
});

Deno.test("in the engine only files.ts opens files, and nothing starts programs", () => {
  const opens =
    /\bDeno\.(open|read|write|create|make|mkdir|remove|rename|copy|truncate|symlink|link|l?stat|Command|connect|listen)\w*\(|new Deno\.Command|["']node:(fs|child_process|net)/;
  const openers = sources.filter((path) => path.startsWith("engine/") && opens.test(read(path)));
  assertEquals(openers, ["engine/weights/files.ts"]);
});

Deno.test("every shader lies in kernels beside the one file that dispatches it", () => {
  const shaders = floors.filter((path) => path.endsWith(".wgsl"));
  assert(shaders.length > 0);
  for (const shader of shaders) {
    const users = sources.filter((path) => references(path).includes(shader));
    assertEquals(users.length, 1, `${shader} is used by ${users.join(" and ") || "nobody"}`);
    const [room, ...rooms] = [shader, ...users].map((path) => resolve(path, "."));
    assert(room?.startsWith("kernels/"), shader);
    assertEquals(rooms, [room]);
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

Deno.test("deno.json fetches nothing from JSR, which not every machine reaches", () => {
  const { imports }: { imports: Record<string, string> } = JSON.parse(read("deno.json"));
  assertEquals(Object.values(imports).filter((to) => to.startsWith("jsr:")), []);
});

Deno.test("floors import relative paths, node: and npm: with one exact version each", () => {
  // A script elsewhere that imports the package by path has no import map of ours.
  const named = sources.flatMap((path) =>
    [
      ...code(path).matchAll(
        /(?:^(?:import|export|\}).* from |^import |\bimport\()["`]([^"`.][^"`]*)["`]/gm,
      ),
    ]
      .map(([, name = ""]) => ({ path, name }))
  );
  assert(named.length > 20);
  const wrong = named.filter(({ name }) =>
    !/^(node:|npm:@?[^@]+@\d+\.\d+\.\d+|npm:\/\$)/.test(name)
  );
  assertEquals(wrong, []);
  // deno.json names it for the scripts that install it, and for deno.lock.
  const { imports } = JSON.parse(read("deno.json"));
  assert(read("io/ffmpeg/ffmpeg.ts").includes(`"${imports["ffmpeg-static"].slice(4)}"`));
});

Deno.test("deno.lock names no host, so that every registry can serve it", () => {
  assertEquals(read("deno.lock").match(/https?:\/\/[^"]*/g), null);
});

Deno.test("every file and permission set of a task exists, and no task asks for all permissions", () => {
  const { tasks, permissions }: {
    tasks: Record<string, { command: string }>;
    permissions: Record<string, unknown>;
  } = JSON.parse(read("deno.json"));
  for (const [name, { command }] of Object.entries(tasks)) {
    assert(!/(^| )(-A|--allow-all|-P)( |$)/.test(command), name);
    assert(!/--allow-env=/.test(command), `task ${name}: variables stand in a permission set`);
    for (const [, set = ""] of command.matchAll(/-P=(\w+)/g)) {
      assert(set in permissions, `task ${name} names the permission set ${set}`);
    }
    for (const [file] of command.matchAll(/\b(?:scripts\/\w+\.ts|samples\/\S+)/g)) {
      assert(exists(file), `task ${name} names ${file}`);
    }
  }
});
