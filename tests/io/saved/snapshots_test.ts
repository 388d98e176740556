/** A script's snapshots in a folder. */
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { makeSnapshot, sealSnapshot } from "../../../engine/roles/snapshot.ts";
import { loadSnapshot, saved, saveSnapshot } from "../../../io/saved/snapshots.ts";
import { SessionFolder } from "../../../io/system/session_folder.ts";
import { settingsFor, tinyConfig } from "../../engine/support.ts";
import { snapshotAfter } from "../session_saver.ts";
import { pathToFileURL } from "node:url";

/** A snapshot with a digest, as a session makes it. */
function made(unit: number) {
  const { blobs } = snapshotAfter(unit);
  const text = { waiting: [1, 2], unfinished: [] };
  const settings = settingsFor(tinyConfig(), {
    solver: { name: "heun", steps: 3, shift: 1.1, guidance: 0.3 },
  });
  const state = { unit, typed: [0, 1], blobs };
  return sealSnapshot(makeSnapshot("digest", settings, null, state, text));
}

async function withFolder(fn: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "wanstream-" });
  try {
    await fn(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

Deno.test("loadSnapshot() gives what saveSnapshot() was given, by path or URL, under its name", () =>
  withFolder(async (path) => {
    const url = pathToFileURL(`${path}/of a script`);
    await saveSnapshot(url, made(3));
    await saveSnapshot(url, made(4), "later");
    await saveSnapshot(url.href, made(7));
    assertEquals(await loadSnapshot(`${path}/of a script`), made(7));
    assertEquals(await loadSnapshot(url, "later"), made(4));
    await assertRejects(() => loadSnapshot(url, "none"), InputError, "it may be later, session");
  }));

Deno.test("a damaged snapshot is neither saved nor loaded", () =>
  withFolder(async (path) => {
    const snapshot = made(3);
    const blob = snapshot.blobs.get("latents");
    if (blob) blob[0] = (blob[0] ?? 0) ^ 1;
    await assertRejects(() => saveSnapshot(path, snapshot), InputError, "digest");
    await saveSnapshot(path, made(3));
    const manifest = await Deno.readTextFile(`${path}/session.json`);
    await Deno.writeTextFile(
      `${path}/session.json`,
      manifest.replace('"waiting":[1', '"waiting":[2'),
    );
    await assertRejects(
      () => loadSnapshot(path),
      InputError,
      "its content isn't what its digest says",
    );
  }));

Deno.test("a run's session is loaded, and not replaced", () =>
  withFolder(async (path) => {
    await new SessionFolder(path).save(made(3), { command: "replay" });
    assertEquals(await loadSnapshot(path), made(3));
    await assertRejects(() => saveSnapshot(path, made(4)), InputError, "choose another name");
    assertEquals(await loadSnapshot(path), made(3));
  }));

Deno.test("what an earlier version saved, without a digest, is loaded", () =>
  withFolder(async (path) => {
    const { meta: { digest: _, ...meta }, blobs } = made(3);
    await new SessionFolder(path).save({ meta, blobs });
    assertEquals(await loadSnapshot(path), { meta, blobs });
  }));

Deno.test("saved() saves after every so many observations that were given on, and after the last", () =>
  withFolder(async (path) => {
    const talk = Array.from({ length: 5 }, () => ({ audio: null, frames: null }));
    let given = 0;
    const session = { snapshot: () => Promise.resolve(made(given - 1)) };
    const after: number[] = [];
    for await (const _ of saved(session, talk, path, { every: 2, name: "talk" })) {
      given++;
      after.push(await loadSnapshot(path, "talk").then(({ meta }) => meta.unit, () => -1));
    }
    assertEquals(after, [-1, -1, 1, 1, 3]);
    assertEquals((await loadSnapshot(path, "talk")).meta.unit, 4);
    await assertRejects(
      () => Array.fromAsync(saved(session, talk, path, { every: 0 })),
      InputError,
      "every",
    );
  }));
