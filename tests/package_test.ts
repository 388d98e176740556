/** The package as a script in a folder of its own meets it: how it is imported, what is in it, and that
 * its edges hold there. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };

const root = new URL("../", import.meta.url);
const engine = new URL(config.exports["."], root).href;
const media = new URL(config.exports["./media"], root).href;
const score = new URL(config.exports["./score"], root).href;
const nano = new URL("engine/models/nano-1/", root).href;

async function deno(cwd: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

async function inFolder(fn: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "wanstream-" });
  try {
    await fn(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What a user's script does at the edges: bad input, memory that is shared, a snapshot in a folder. */
const script = (engine: string, media: string, score: string) => `
import { InputError, type Observation, openCheckpoint, openSession } from "${engine}";
import { loadSnapshot, saveSnapshot } from "${media}";
import { exchangeOf, levelScores, speechOf } from "${score}";
import { Buffer } from "node:buffer";

const checkpoint = await openCheckpoint("${nano}");
await using session = await openSession(checkpoint, { placement: "fused", solver: { steps: 1 } });
const { user } = session.layout;
const pool = Buffer.alloc(user.frames * user.width * user.height * 3 + 1, 7);
const observation: Observation = {
  audio: new Float32Array(user.samples).fill(2),
  frames: pool.subarray(1),
};
const refused = async (work: () => Promise<unknown>) => {
  try {
    await work();
  } catch (error) {
    if (error instanceof InputError) return console.log(error.message);
    throw error;
  }
};
const audio = new Float32Array(user.samples).fill(NaN);
await refused(() => session.push({ audio, frames: null }));
await refused(() => openSession(checkpoint, { schedule: "x" as "paper" }));
await session.push(observation);
await saveSnapshot("saved", await session.snapshot());
await session.push(observation);
session.end();
const rest = (await Array.fromAsync(session)).slice(1);
const resume = await loadSnapshot("saved");
await using again = await openSession(checkpoint, { placement: "fused" }, { resume });
await again.push(observation);
again.end();
const [first] = await Array.fromAsync(again);
console.log(first?.unit, first?.digest === rest[0]?.digest, pool.length, pool[0]);
const speech = speechOf(levelScores(new Float32Array(16000).fill(0.1)), 1);
console.log(JSON.stringify(exchangeOf({ user: speech, agent: [] }, 2).turns));
`;
const says = [
  "observation: audio[0] is NaN; a sample may be a number from -1 to 1",
  'options: schedule is "x"; it may be "paper" or "eager"',
  `1 true ${4 * 64 * 64 * 3 + 1} 7`,
  '[{"side":"user","from":0,"to":1,"latency":null}]',
  "",
].join("\n");

/** A user's own options of TypeScript, stricter than the package's. */
const compilerOptions = {
  lib: ["deno.ns", "dom"],
  ...{ erasableSyntaxOnly: true, verbatimModuleSyntax: true, noUnusedLocals: true },
  ...{ noUnusedParameters: true, noPropertyAccessFromIndexSignature: true },
  ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
  ...{ noImplicitOverride: true, noImplicitReturns: true },
};
const name = `jsr:${config.name}@^${config.version}`;
const map = { "the-engine": engine, "the-media": media, "the-score": score };
/** Ways in: what the script imports, its deno.json, and arguments. */
const ways: [way: string, from: [string, string, string], config: object | null, args: string[]][] =
  [
    [
      "by path, without a deno.json",
      [engine, media, score].map((url) => fileURLToPath(url)) as [string, string, string],
      null,
      [],
    ],
    ["by path, checked with options of its own", [engine, media, score], { compilerOptions }, [
      "--check",
    ]],
    ["by links", ["the-package", "the-package/media", "the-package/score"], {
      links: [fileURLToPath(root)],
      imports: { "the-package": name },
    }, []],
    ["through an import map", ["the-engine", "the-media", "the-score"], null, [
      "--import-map",
      "map.json",
    ]],
  ];

for (const [way, from, own, args] of ways) {
  Deno.test(`a script in an empty folder imports the package ${way}`, (context) =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/script.ts`, script(...from));
      await Deno.writeTextFile(`${folder}/map.json`, JSON.stringify({ imports: map }));
      if (own) await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify(own));
      const permissions = ["--no-prompt", "--allow-read", "--allow-env", "--allow-write=."];
      const run = await deno(folder, "run", ...permissions, ...args, "script.ts");
      if (/adapter/.test(run.stderr) && /InputError/.test(run.stderr)) {
        await context.step({ name: `skipped: ${run.stderr}`, ignore: true, fn: () => {} });
        return;
      }
      assertEquals(run, { code: 0, stdout: says, stderr: run.stderr }, run.stderr);
      // Deno warns of what only the root's deno.json may have, as links.
      assert(!run.stderr.includes("Warning"), run.stderr);
    }));
}

interface Member {
  name: string;
  accessibility?: string;
  jsDoc?: { tags?: { kind: string }[] };
}

/** The names that a script can import, and those of their members. */
async function surface(entry: string): Promise<string[]> {
  const { stdout } = await deno(fileURLToPath(root), "doc", "--json", entry);
  const { nodes }: {
    nodes: Record<string, {
      symbols: { name: string; declarations: { kind: string; def: Record<string, unknown> }[] }[];
    }>;
  } = JSON.parse(stdout);
  return Object.values(nodes).flatMap(({ symbols }) => symbols).map(({ name, declarations }) => {
    const members = declarations.flatMap(({ def }) =>
      [def["properties"], def["methods"]].flatMap((list) => (list ?? []) as Member[])
    ).filter(({ accessibility, jsDoc }) =>
      accessibility !== "private" && !jsDoc?.tags?.some(({ kind }) => kind === "internal")
    );
    const kinds = [...new Set(declarations.map(({ kind }) => kind))];
    return `${kinds} ${name} ${[...new Set(members.map(({ name }) => name))].join(" ")}`.trim();
  }).sort();
}

Deno.test("what the package exports is what tests/data/surface.txt lists", async () => {
  const list = [];
  for (const [name, entry] of Object.entries(config.exports)) {
    list.push(`${name}`, ...(await surface(entry)).map((line) => `  ${line}`));
  }
  const now = `${list.join("\n")}\n`;
  const path = new URL("data/surface.txt", import.meta.url);
  if (Deno.env.get("UPDATE_SURFACE")) await Deno.writeTextFile(path, now);
  const hint =
    "where the change is deliberate: UPDATE_SURFACE=1 deno test -A tests/package_test.ts";
  assertEquals(now.split("\n"), (await Deno.readTextFile(path)).split("\n"), hint);
  assertStringIncludes(now, "function openSession");
});
