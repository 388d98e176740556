/** docs/library.md lists the errors of the library: each is what it says, and no other is thrown. */
import { assert, assertEquals } from "@std/assert";
import { listAdapters, openCheckpoint, openModel, openSession } from "../engine/mod.ts";
import { fit, loadSnapshot, observations, paced, recorder } from "../io/mod.ts";
import { tinyConfig } from "./engine/support.ts";
import { withCheckpoint } from "./engine/tiny_checkpoint.ts";

const page = await Deno.readTextFile(new URL("../docs/library.md", import.meta.url));
const rows = [...page.matchAll(/^\| `((?:\w*Error): [^`]*)` /gm)].map(([, row = ""]) => row);

/** What a row allows: "..." is anything, PATH a path. */
function pattern(row: string): RegExp {
  const parts = row.split("...").map((part) => RegExp.escape(part).replace("PATH", "/\\S+"));
  return new RegExp(`^${parts.join(".*")}`);
}

/** Rows that take a broken machine. */
const broken = ["InputError: no Vulkan driver ...", "Error: unit ...", "RunError: ..."];
const hasAdapter = (await listAdapters()).length > 0;

Deno.test({
  name: `docs/library.md lists each error${
    hasAdapter ? "" : " (skipped: no WebGPU adapter on this machine)"
  }`,
  ignore: !hasAdapter,
  // Terminated Workers leave their ports behind.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: () => withCheckpoint(tinyConfig(), everyError),
});

async function everyError(folder: string): Promise<void> {
  const met = new Set<string>();
  const meet = async (work: () => unknown) => {
    const error = await Promise.try(work).then(() => "nothing was thrown", String);
    const row = rows.find((row) => pattern(row).test(error));
    assert(row !== undefined && !error.includes("\n"), error);
    met.add(row);
  };
  // deno-lint-ignore no-explicit-any
  const wrong = (value: unknown) => value as any;
  const checkpoint = await openCheckpoint(folder);
  await meet(() => openSession(checkpoint, wrong({ sede: 3 })));
  await meet(() => openSession(checkpoint, { voice: wrong([0]) }));
  await meet(() => openSession(checkpoint, {}, { snapshotEvery: -1 }));
  await meet(() => openModel(wrong(openCheckpoint(folder))));
  await meet(() => openCheckpoint(`${folder}/none`));
  await meet(() => openSession(checkpoint, { prompt: "long ".repeat(1000) }));
  await meet(() => openSession(checkpoint, { thinker: "none" }));

  await using session = await openSession(checkpoint, { placement: "fused" });
  const { layout } = session;
  const absent = { audio: null, frames: null };
  await meet(() => session.push({ audio: new Float32Array(1), frames: null }));
  await session.step(absent);
  const snapshot = await session.snapshot();
  await meet(() => session.snapshot({ after: -1 }));
  await meet(() => openSession(checkpoint, { precision: "f16" }, { resume: snapshot }));
  await meet(() => openSession(checkpoint, {}, { resume: wrong({}) }));
  await session.push(absent);
  await meet(() => session.step(absent));
  const reading = session[Symbol.asyncIterator]();
  await reading.next();
  await meet(() => session.step(absent));
  session.end();
  await meet(() => session.push(absent));
  await reading.next();
  await meet(() => session.step(absent));
  await session.close();
  await meet(() => session.push(absent));

  await meet(() => observations("talk.wav", wrong({})));
  await meet(() => Array.fromAsync(observations(`${folder}/none.wav`, { layout })));
  await meet(() => loadSnapshot(`${folder}/none`));
  const { readable } = new TransformStream<Uint8Array, Uint8Array>();
  readable.getReader();
  await meet(() => Array.fromAsync(observations(readable, { layout })));
  await meet(() => recorder(`${folder}/a.txt`, { layout }));
  const record = await recorder(`${folder}/a.wav`, { layout });
  await meet(() => record.write(wrong({})));
  await record.abort();
  await meet(() => record.write(wrong({})));
  await meet(() => fit(layout, { user: { ...layout.user, unitMs: 40 } }));
  const slow = paced(session, observations("talk.wav", { layout }), { network: "slow" });
  await meet(() => slow.next());
  assertEquals(rows.filter((row) => !met.has(row) && !broken.includes(row)), []);
}
