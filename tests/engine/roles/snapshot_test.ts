/** Sessions that are cut, saved, resumed, forked, and broken on purpose. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { InputError } from "../../../engine/config/errors.ts";
import { byteLetters } from "../../../engine/checkpoint/tokenizer.ts";
import { byteTokenizerJson } from "../../../engine/models/byte_tokenizer.ts";
import { openSession } from "../../../engine/session/model.ts";
import type { Durability } from "../../../engine/session/session.ts";
import type { SessionOptions } from "../../../engine/model/settings.ts";
import { type Snapshot, unitBlob } from "../../../engine/roles/snapshot.ts";
import { type Observation, type Response, unitLayout } from "../../../engine/checkpoint/unit.ts";
import { HistoryWindow } from "../../../engine/model/window.ts";
import { integer, normal, random } from "../../reference/random.ts";
import { randomCheckpoint, randomObservations, tinyConfig } from "../support.ts";
import { hasAdapter, withAdapter } from "../session/adapter.ts";
import { breakRole } from "../session/faults.ts";

// The window moves at unit 5; two slots for typed text, two for the agent's.
const config = tinyConfig();
const checkpoint = await randomCheckpoint(config, 21);
const next = random(9);
const options: SessionOptions = {
  placement: "fused",
  seed: 3,
  solver: { guidance: 1.7 },
  sampling: { temperature: 1 },
  prompt: "be kind",
  persona: { frame: Uint8Array.from({ length: 16 * 16 * 3 }, () => 255 * next()) },
  voice: normal(next, 3000, 0.1),
};

/** Typed text lasts from unit 1 into unit 6, two tokens a unit; unit 4 has no sound, 6 no picture. */
const observations = (count = 10, seed = 31): Observation[] =>
  randomObservations(config, count, seed).map((observation, unit) => ({
    audio: unit === 4 ? null : observation.audio,
    frames: unit === 6 ? null : observation.frames,
    ...(unit === 1 ? { text: "hello grün" } : {}),
  }));

/** Everything but times. */
const content = (responses: Response[]) => responses.map(({ stages: _, ...rest }) => rest);

async function replay(
  changes: SessionOptions = {},
  list = observations(),
  durability: Durability = {},
) {
  await using session = await openSession(checkpoint, { ...options, ...changes }, durability);
  return content(await Array.fromAsync(session.respond(list)));
}

/** Runs all observations and takes snapshots after these units on the way. */
async function replayWithSnapshots(
  after: readonly number[],
  changes: SessionOptions = {},
  durability: Durability = {},
  list = observations(),
) {
  await using session = await openSession(checkpoint, { ...options, ...changes }, durability);
  const first = session.info.firstUnit;
  const snapshots: Promise<Snapshot>[] = [];
  async function* feed() {
    for (let unit = first - 1;; unit++) {
      if (after.includes(unit)) snapshots.push(session.snapshot());
      const observation = list[unit + 1];
      if (!observation) return;
      yield observation;
    }
  }
  const responses = content(await Array.fromAsync(session.respond(feed())));
  return { responses, snapshots: await Promise.all(snapshots) };
}

const places = (["fused", "split"] as const).flatMap((placement) =>
  (["paper", "eager"] as const).map((schedule) => ({ placement, schedule }))
);
const uninterrupted = hasAdapter ? await replay() : [];
const everyCut = Array.from({ length: 11 }, (_, i) => i - 1);

Deno.test("a restored window is the one that advanced", () => {
  const draw = random(5);
  for (let round = 0; round < 50; round++) {
    const sinkUnits = integer(draw, 0, 3);
    const sizes = {
      promptTokens: integer(draw, 0, 4),
      personaTokens: integer(draw, 0, 4),
      historyUnits: sinkUnits + integer(draw, 2, 6),
      sinkUnits,
      noisySets: 1 as const,
    };
    const layout = unitLayout(config);
    const window = new HistoryWindow(layout, sizes);
    const last = integer(draw, -1, 20);
    for (let unit = 0; unit <= last; unit++) {
      window.advance(unit, integer(draw, 0, layout.userText));
    }
    const typed = window.unitsAfter(last).map((unit) => window.typedIn(unit));
    const restored = new HistoryWindow(layout, sizes);
    restored.restore(last, typed);
    assertEquals([restored.used, restored.ranks], [window.used, window.ranks]);
  }
});

withAdapter(
  "a session cut after any unit and resumed under any placement and schedule goes on byte for byte",
  async () => {
    const all = [];
    for (const place of places) {
      const { responses, snapshots } = await replayWithSnapshots(everyCut, place);
      assertEquals(responses, uninterrupted, `snapshots change nothing, ${JSON.stringify(place)}`);
      all.push(snapshots);
    }
    const [saved = [], ...others] = all;
    for (const other of others) {
      other.forEach(({ blobs }, i) => assertEquals(blobs, saved[i]?.blobs));
    }
    assertEquals(saved.map(({ meta }) => meta.unit), everyCut);
    assert(saved.some(({ meta }) => meta.waiting.length > 0), "typed text is cut");
    for (const [i, snapshot] of saved.entries()) {
      // A Worker, a disk or another machine lies in between: nothing is shared.
      const resume = structuredClone(snapshot);
      const { meta: { unit } } = resume;
      const rest = await replay(places[i % 4], observations().slice(unit + 1), { resume });
      assertEquals(rest, uninterrupted.slice(unit + 1), `after unit ${unit}`);
    }
  },
);

/** Every token ends one character of two bytes and begins the next, so that every cut is inside one. */
function splittingTokenizer(): unknown {
  const json = byteTokenizerJson();
  const letters = byteLetters();
  const vocab = Object.fromEntries(
    Array.from({ length: 256 }, (_, id) => {
      const last = letters[0x80 + id % 64] ?? "";
      return [last + (letters[0xc4 + Math.floor(id / 64)] ?? ""), id];
    }),
  );
  return { ...json, model: { ...json["model"] as object, vocab } };
}

withAdapter("a character of the agent that a cut goes through comes whole", async () => {
  const splitting = { ...checkpoint, tokenizer: splittingTokenizer() };
  const list = randomObservations(config, 3, 31);
  const say = async (durability: Durability, from: number) => {
    await using session = await openSession(splitting, { placement: "fused" }, durability);
    const responses = await Array.fromAsync(session.respond(list.slice(from)));
    return responses.map(({ text }) => text);
  };
  const [, ...whole] = await say({}, 0);
  assert(whole.every((text) => text !== "" && !text.includes("\ufffd")), whole.join());
  await using session = await openSession(splitting, { placement: "fused" });
  await session.push(list[0] as Observation);
  const resume = await session.snapshot();
  assertEquals(resume.meta.unfinished.length, 1);
  assertEquals(await say({ resume }, 1), whole);
});

withAdapter("a session with f16 history and int8 layers goes on byte for byte", async () => {
  const changes = { precision: "int8" as const };
  const { responses, snapshots: [resume] } = await replayWithSnapshots([7], changes);
  assert(resume);
  const { storage, weights } = resume.meta.settings;
  assertEquals([storage, weights], ["f16", "int8"]);
  const rest = await replay({ placement: "split" }, observations().slice(8), { resume });
  assertEquals(rest, responses.slice(8));
});

withAdapter("a resumed session needs no option again, and may be given all", async () => {
  const { snapshots: [resume] } = await replayWithSnapshots([6]);
  assert(resume);
  await using session = await openSession(checkpoint, { placement: "fused" }, { resume });
  assertEquals(session.info.firstUnit, 7);
  const responses = await Array.fromAsync(session.respond(observations().slice(7)));
  assertEquals(content(responses), uninterrupted.slice(7));
});

withAdapter(
  "snapshots of a resumed session equal those of the first, and share history",
  async () => {
    const list = observations();
    const { snapshots: [at3, at5, at8] } = await replayWithSnapshots([3, 5, 8]);
    assert(at3 && at5 && at8);
    const resumed = await replayWithSnapshots([5, 8], {}, { resume: at3 }, list);
    assertEquals(resumed.snapshots, [at5, at8]);
    for (const unit of [0, 4]) {
      assert(at5.blobs.get(unitBlob(unit)) === at8.blobs.get(unitBlob(unit)) || unit === 4);
    }
    const kept = (snapshot: Snapshot) =>
      [...snapshot.blobs.keys()].filter((name) => name.startsWith("history.unit."));
    assertEquals(kept(at5), [0, 2, 3, 4, 5].map(unitBlob));
    assertEquals(kept(at8), [0, 5, 6, 7, 8].map(unitBlob));
  },
);

withAdapter("forks with another seed or another input part from the original", async () => {
  const { snapshots: [resume] } = await replayWithSnapshots([4]);
  assert(resume);
  const seeded = await replay({ seed: 4 }, observations().slice(5), { resume });
  const asked = await replay({}, observations(10, 77).slice(5), { resume });
  const solved = await replay({ solver: { name: "heun", guidance: 1 } }, observations().slice(5), {
    resume,
  });
  const original = uninterrupted.slice(5);
  for (const fork of [seeded, asked, solved]) {
    fork.forEach(({ unit, digest }, i) => {
      assertEquals(unit, 5 + i);
      assertNotEquals(digest, original[i]?.digest);
    });
  }
  assertEquals(await replay({ seed: 4 }, observations().slice(5), { resume }), seeded);
});

withAdapter("what history was made with can't change", async () => {
  const { snapshots: [resume] } = await replayWithSnapshots([1], {}, {}, observations(2));
  assert(resume);
  const refused = async (changes: SessionOptions, message: string, other = checkpoint) => {
    const all = { placement: "fused" as const, ...changes };
    await assertRejects(() => openSession(other, all, { resume }), InputError, message);
  };
  await refused({ precision: "f16" }, "precision: f16, but the session was saved with f32");
  await refused({ historyUnits: 6 }, "history units: 6, but the session was saved with 5");
  await refused({ prompt: "hm" }, 'prompt: "hm", but the session was saved with "be kind"');
  await refused({ persona: { frame: new Uint8Array(768) } }, "persona: ");
  await refused({ voice: new Float32Array(100) }, "voice: ");
  const other = { ...checkpoint, digest: "another" };
  await refused({}, 'digest "random 21", the one given has "another"', other);
});

withAdapter("a damaged snapshot is an InputError that names what is wrong", async () => {
  const { snapshots: [snapshot] } = await replayWithSnapshots([1], {}, {}, observations(2));
  assert(snapshot);
  const refused = async (damage: (copy: Snapshot) => void, message: string) => {
    const resume = structuredClone(snapshot);
    damage(resume);
    const open = () => openSession(checkpoint, { placement: "fused" }, { resume });
    await assertRejects(open, InputError, message);
  };
  const { promptIds } = snapshot.meta.settings;
  const cases: [path: string, value: unknown, message: string][] = [
    ["format", 2, "format"],
    ["unit", 1e12, "unit"],
    ["unit", 4, "typed is [0,2]; it may be a list of 5 entries"],
    ["typed", [1, 99], "typed"],
    ["waiting", ["a"], "waiting"],
    ["unfinished", [1, 2, 3, 4], "unfinished"],
    ["settings", undefined, "settings"],
    ["settings.seed", "7", "settings.seed"],
    ["settings.seed", -1, "seed is -1"],
    ["settings.solver.name", "rk4", "settings.solver.name"],
    ["settings.solver.steps", 1e9, "settings.solver.steps"],
    ["settings.historyUnits", 1e9, "settings.historyUnits"],
    ["settings.promptIds", [...promptIds, 272], "settings.promptIds"],
    ["settings.promptIds", promptIds.slice(0, -1), '"history.prefill"'],
  ];
  for (const [path, value, message] of cases) {
    await refused(({ meta }) => {
      // As an earlier version saved it.
      delete meta.digest;
      const keys = path.split(".");
      const last = keys.pop() ?? "";
      let object: object = meta;
      for (const key of keys) object = Reflect.get(object, key);
      Reflect.set(object, last, value);
    }, message);
  }
  for (const name of snapshot.blobs.keys()) {
    const says = /coder/.test(name) ? "4 bytes" : name;
    await refused(({ meta, blobs }) => {
      delete meta.digest;
      blobs.set(name, new Uint8Array(4));
    }, says);
  }
  await refused(({ meta, blobs }) => {
    delete meta.digest;
    blobs.delete(unitBlob(1));
  }, unitBlob(1));
  for (const bytes of structuredClone(snapshot).blobs.values()) {
    const at = [...bytes].findIndex((byte) => byte !== 0);
    const flip = (copy: Snapshot) => {
      const same = [...copy.blobs.values()].find((other) => `${other}` === `${bytes}`);
      if (same) same[at] = (same[at] ?? 0) ^ 1;
    };
    if (at >= 0) await refused(flip, "its content isn't what its digest says");
  }
  await refused(({ meta }) => meta.waiting.push(7), "its content isn't what its digest says");
  await refused(({ meta, blobs }) => {
    delete meta.digest;
    const latents = new Float32Array(blobs.get("latents")?.buffer ?? new ArrayBuffer(0));
    latents[3] = NaN;
  }, '"latents" holds NaN; it may hold finite numbers');
});

withAdapter("what is no snapshot is named in a true line", async () => {
  const { snapshots: [snapshot] } = await replayWithSnapshots([1], {}, {}, observations(2));
  assert(snapshot);
  const { meta } = snapshot;
  const cases: [given: unknown, message: string][] = [
    [Promise.resolve(snapshot), "snapshot: is a Promise; it must be an object"],
    [[snapshot], "snapshot: is ["],
    [{}, "snapshot: meta is missing; it must be an object"],
    [JSON.parse(JSON.stringify(snapshot)), "snapshot: blobs is {}; it may be a Map of Uint8Arrays"],
    [{ meta, blobs: Object.fromEntries(snapshot.blobs) }, "which JSON doesn't hold"],
    [{ meta, blobs: new Map([["latents", [1]]]) }, 'snapshot: "latents" is [1]; it may be a Uint8'],
    ["saved/session.json", 'durability: resume is "saved/session.json"; it may be an object'],
  ];
  for (const [given, message] of cases) {
    const durability = { resume: given as Snapshot };
    const open = () => openSession(checkpoint, { placement: "fused" }, durability);
    const { message: said } = await assertRejects(open, InputError, message);
    assert(!said.includes("file") && !said.includes("\n"), said);
  }
});

withAdapter("a snapshot packed into one Buffer resumes, and the Buffer stays whole", async () => {
  const { snapshots: [snapshot] } = await replayWithSnapshots([3]);
  assert(snapshot);
  const pool = Buffer.alloc(
    64 + [...snapshot.blobs.values()].reduce((n, { length }) => n + length, 0),
  );
  let at = 64;
  const blobs: Snapshot["blobs"] = new Map();
  for (const [name, bytes] of snapshot.blobs) {
    pool.set(bytes, at);
    blobs.set(name, pool.subarray(at, at += bytes.length));
  }
  const before = pool.toString("hex");
  const resume = { meta: snapshot.meta, blobs };
  for (let time = 0; time < 2; time++) {
    const rest = await replay({}, observations().slice(4), { resume, snapshotEvery: 2 });
    assertEquals(rest, uninterrupted.slice(4));
  }
  assertEquals(pool.toString("hex"), before);
});

withAdapter("snapshot() is refused after the end", async () => {
  await using session = await openSession(checkpoint, options);
  session.end();
  await assertRejects(() => session.snapshot(), Error, "before end()");
});

/** Replays and breaks the session after the response of a unit, with others under way; the rest of
 * the input waits for the recovery. */
async function replayBroken(
  changes: SessionOptions,
  durability: Durability,
  unit: number,
  doBreak: () => void,
) {
  await using session = await openSession(checkpoint, { ...options, ...changes }, durability);
  let waits = false;
  async function* feed() {
    for (const observation of observations()) {
      while (waits && session.recoveries.length === 0) await pause();
      yield observation;
    }
  }
  const responses: Response[] = [];
  try {
    for await (const response of session.respond(feed())) {
      responses.push(response);
      if (response.unit !== unit) continue;
      waits = true;
      doBreak();
    }
  } finally {
    waits = false;
  }
  return { responses: content(responses), recoveries: session.recoveries };
}

const pause = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));

withAdapter("a session outlives lost devices and dead Workers without a changed byte", async () => {
  let at = 0;
  for (const [i, place] of places.entries()) {
    for (const role of ["thinker", "performer"] as const) {
      const breakage = (i + at++) % 2 === 0 ? "device" : "worker";
      // From before the first snapshot to after the window has moved.
      const unit = at % 6;
      const { responses, recoveries } = await replayBroken(
        place,
        { snapshotEvery: 3 },
        unit,
        () => breakRole(role, breakage),
      );
      const what = `${JSON.stringify(place)}, ${role}'s ${breakage} after unit ${unit}`;
      assertEquals(responses, uninterrupted, what);
      const [recovery, more] = recoveries;
      assert(recovery && !more, what);
      assert(recovery.unit > unit && recovery.snapshot < recovery.unit, what);
      assertEquals((recovery.snapshot + 1) % 3, 0);
      const worker = place.placement === "fused" ? "fused" : role;
      assert(recovery.reason.startsWith(`${worker}: `), recovery.reason);
      const reason = breakage === "device" ? "device was lost" : "broken by a test";
      assert(recovery.reason.includes(reason), recovery.reason);
    }
  }
});

withAdapter("a session outlives Workers that end without a word", async () => {
  for (const [i, placement] of (["fused", "split"] as const).entries()) {
    const { responses, recoveries } = await replayBroken(
      { placement },
      { snapshotEvery: 3, patience: 3000 },
      4,
      () => breakRole(i === 0 ? "thinker" : "performer", "silence"),
    );
    assertEquals(responses, uninterrupted, placement);
    const worker = i === 0 ? "fused" : "performer";
    // On a busy machine it is noticed later than after the 3 s of patience.
    const { reason = "" } = recoveries[0] ?? {};
    assert(new RegExp(`^${worker}: gave no sign of life for \\d+ s$`).test(reason), reason);
  }
});

withAdapter("a resumed session recovers too, and its snapshots go on", async () => {
  const { snapshots: [resume, at8] } = await replayWithSnapshots([2, 8]);
  assert(resume && at8);
  const durability = { resume, snapshotEvery: 100 };
  await using session = await openSession(checkpoint, options, durability);
  let snapshot: Promise<Snapshot> | undefined;
  async function* feed() {
    for (const [unit, observation] of observations().entries()) {
      if (unit > 2) yield observation;
      if (unit === 8) snapshot = session.snapshot();
    }
  }
  const responses: Response[] = [];
  for await (const response of session.respond(feed())) {
    responses.push(response);
    if (response.unit === 5) breakRole("performer", "device");
  }
  assertEquals(content(responses), uninterrupted.slice(3));
  assertEquals(session.recoveries.map((r) => r.snapshot), [2]);
  assertEquals(await snapshot, at8);
});

withAdapter(
  "recoveries without a response in between are counted, and the fourth is none",
  async () => {
    await using session = await openSession(checkpoint, options, { snapshotEvery: 2 });
    const list = observations();
    for (const observation of list.slice(0, 3)) await session.push(observation);
    const snapshot = session.snapshot();
    await snapshot;
    for (let count = 1; count <= 3; count++) {
      breakRole("thinker", "device");
      while (session.recoveries.length < count) await pause();
    }
    breakRole("thinker", "device");
    const failed = assertRejects(
      () => Array.fromAsync(session),
      Error,
      "fused: the adapter's device was lost: device was lost (after 3 recoveries",
    );
    await failed;
    await assertRejects(() => session.push(list[3] ?? list[0] as Observation), Error, "was lost");
    assertEquals(session.recoveries.length, 3);
  },
);

withAdapter(
  "without snapshots in memory a lost device ends the stream with its reason",
  async () => {
    for (const place of places) {
      await assertRejects(
        () => replayBroken(place, {}, 2, () => breakRole("performer", "device")),
        Error,
        "device was lost",
      );
    }
  },
);

withAdapter("a session can be closed while it recovers", async () => {
  const session = await openSession(checkpoint, options, { snapshotEvery: 2 });
  await session.push(observations()[0] as Observation);
  const snapshot = session.snapshot();
  breakRole("thinker", "worker");
  const rejected = assertRejects(() => snapshot, Error, "closed");
  await pause(120);
  await session.close();
  await rejected;
});
