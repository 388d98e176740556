/** Saved sessions on disk: whole or not at all, sharing what they have in common. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { openSession } from "../../../engine/session/model.ts";
import { defaultName, SessionFolder } from "../../../io/system/session_folder.ts";
import { withGpu } from "../../kernels/support.ts";
import { randomCheckpoint, randomObservations, tinyConfig } from "../../engine/support.ts";
import { integer, random } from "../../reference/random.ts";
import { snapshotAfter } from "../session_saver.ts";

async function withFolder(fn: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "wanstream-" });
  try {
    await fn(`${path}/saved`);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

async function blobFiles(path: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(`${path}/blobs`))).map(({ name }) => name).sort();
}

Deno.test("load() gives what save() was given", () =>
  withFolder(async (path) => {
    const snapshot = snapshotAfter(7);
    const progress = { input: "talk.mp4", parts: ["0.mkv", "1.mkv"] };
    await new SessionFolder(path).save(snapshot, progress);
    assertEquals(await new SessionFolder(path).load(), { snapshot, progress });
    assertEquals(await new SessionFolder(path).names(), [defaultName]);
  }));

Deno.test("a later save writes only blobs that are new, and removes those that nobody uses", () =>
  withFolder(async (path) => {
    const folder = new SessionFolder(path);
    await folder.save(snapshotAfter(7));
    const before = new Map<string, number | undefined>();
    for (const file of await blobFiles(path)) {
      before.set(file, (await Deno.stat(`${path}/blobs/${file}`)).ino ?? undefined);
    }
    await folder.save(snapshotAfter(9));
    const after = await blobFiles(path);
    assertEquals(after.length, 6);
    const kept = after.filter((file) => before.has(file));
    assertEquals(kept.length, 3);
    for (const file of kept) {
      const { ino } = await Deno.stat(`${path}/blobs/${file}`);
      assertEquals(ino ?? undefined, before.get(file));
    }
  }));

Deno.test("forks share history, and keep what another one still uses", () =>
  withFolder(async (path) => {
    const folder = new SessionFolder(path);
    await folder.save(snapshotAfter(7), null, "main");
    await folder.save(snapshotAfter(7), "fork", "fork-1");
    assertEquals((await blobFiles(path)).length, 6);
    await folder.save(snapshotAfter(20), null, "main");
    assertEquals((await blobFiles(path)).length, 12);
    const { snapshot, progress } = await folder.load("fork-1");
    assertEquals([snapshot, progress], [snapshotAfter(7), "fork"]);
    assertEquals(await folder.names(), ["fork-1", "main"]);
  }));

Deno.test("two that save at once both come out whole", () =>
  withFolder(async (path) => {
    const one = new SessionFolder(path);
    const other = new SessionFolder(path);
    for (let unit = 0; unit < 8; unit++) {
      await Promise.all([
        one.save(snapshotAfter(unit), null, "one"),
        other.save(snapshotAfter(unit + 30), null, "other"),
      ]);
      assertEquals((await one.load("other")).snapshot, snapshotAfter(unit + 30));
      assertEquals((await other.load("one")).snapshot, snapshotAfter(unit));
    }
  }));

Deno.test("a save that is killed leaves the session before it or its own, whole", () =>
  withFolder(async (path) => {
    const script = new URL("../session_saver.ts", import.meta.url).href;
    const next = random(3);
    for (let round = 0; round < 6; round++) {
      const saver = new Deno.Command(Deno.execPath(), {
        args: ["run", "-q", "--no-check", "--allow-read", "--allow-write", script, path],
        stdout: "piped",
      }).spawn();
      const reader = saver.stdout.getReader();
      for (let saved = 0; saved <= integer(next, 0, 3); saved++) await reader.read();
      await new Promise((resolve) => setTimeout(resolve, integer(next, 0, 30)));
      saver.kill("SIGKILL");
      await saver.status;
      await reader.cancel();
      const { snapshot, progress } = await new SessionFolder(path).load();
      assertEquals(snapshot.meta.unit, (progress as { unit: number }).unit);
      assertEquals(snapshot, snapshotAfter(snapshot.meta.unit, 40));
    }
    // The next save clears away what the killed ones left.
    await new SessionFolder(path).save(snapshotAfter(7));
    assertEquals((await blobFiles(path)).length, 6);
    const files = (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();
    assertEquals(files, ["blobs", "lock", "session.json"]);
  }));

Deno.test("what isn't a whole saved session is an InputError that names the file", () =>
  withFolder(async (path) => {
    const folder = new SessionFolder(path);
    const refused = (message: string, name?: string) =>
      assertRejects(() => folder.load(name), InputError, message);
    await refused("holds no saved session");
    await folder.save(snapshotAfter(2));
    await refused("holds no session 'x': it may be session", "x");
    await refused("session name '../x'", "../x");
    await assertRejects(() => folder.save(snapshotAfter(2), null, ""), InputError, "session name");

    const file = `${path}/session.json`;
    const good = await Deno.readTextFile(file);
    const [blob = ""] = await blobFiles(path);
    const blobPath = `${path}/blobs/${blob}`;
    const content = await Deno.readFile(blobPath);
    const damaged = async (text: string, message: string) => {
      await Deno.writeTextFile(file, text);
      await refused(message);
    };
    await damaged("", "is no saved session");
    await damaged(good.slice(0, 300), "is no saved session");
    await damaged("[]", "it must be an object");
    await damaged(good.replace(`"wanstream_session":2`, `"wanstream_session":1`), "may be 2");
    await damaged(good.replace(`"blobs":{`, `"blob":{`), "blobs is missing");
    await damaged(good.replace(`"sha256":"`, `"sha256":"../../`), "64 digits");
    await damaged(good.replace(/"bytes":\d+/, `"bytes":-1`), "bytes");
    await damaged(good.replace(/"bytes":\d+/, `"bytes":1e12`), "bytes");
    await damaged(good.replace(/"bytes":\d+/, `"bytes":1001`), "1001 bytes");
    await Deno.writeTextFile(file, good);
    await Deno.writeFile(blobPath, content.map((byte, i) => i === 9 ? byte ^ 1 : byte));
    await refused("its content isn't what its name says");
    await Deno.writeFile(blobPath, content.subarray(1));
    await refused(`has ${content.length - 1} bytes`);
    await Deno.remove(blobPath);
    await refused("is missing");
    await Deno.mkdir(blobPath);
    await refused("is missing");
    await Deno.remove(blobPath);
    await Deno.writeFile(blobPath, content);
    assertEquals((await folder.load()).snapshot, snapshotAfter(2));

    // Blobs of a session that can't be read stay.
    await Deno.writeTextFile(`${path}/hurt.json`, "{");
    await folder.save(snapshotAfter(30));
    assert((await blobFiles(path)).includes(blob));

    await Deno.writeTextFile(`${path}-file`, "");
    const inFile = new SessionFolder(`${path}-file`);
    await assertRejects(() => inFile.save(snapshotAfter(1)), InputError, "can't be saved");
    await assertRejects(() => inFile.load(), InputError, "holds no saved session");
  }));

withGpu("a session that was saved on disk goes on from there", () =>
  withFolder(async (path) => {
    const config = tinyConfig();
    const checkpoint = await randomCheckpoint(config, 21);
    const options = { placement: "fused" as const, persona: { frame: new Uint8Array(768) } };
    const list = randomObservations(config, 8, 31);
    await using session = await openSession(checkpoint, options);
    async function* feed() {
      for (const [unit, observation] of list.entries()) {
        yield observation;
        if (unit === 5) await new SessionFolder(path).save(await session.snapshot());
      }
    }
    const digests = (await Array.fromAsync(session.respond(feed()))).map(({ digest }) => digest);
    const { snapshot } = await new SessionFolder(path).load();
    await using resumed = await openSession(checkpoint, options, { resume: snapshot });
    const rest = await Array.fromAsync(resumed.respond(list.slice(6)));
    assertEquals(rest.map(({ digest }) => digest), digests.slice(6));
  }));
