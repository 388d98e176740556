/** Whole sessions in Workers: placements, schedules, seeds, adapters, misuse. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { openModel, openSession } from "../../../engine/session/model.ts";
import type { SessionOptions } from "../../../engine/model/settings.ts";
import type { Observation, Response } from "../../../engine/checkpoint/unit.ts";
import { driverFiles, stem } from "../../../kernels/gpu/adapter.ts";
import { assertClose } from "../../kernels/support.ts";
import { normal, random } from "../../reference/random.ts";
import { randomCheckpoint, randomObservations, tinyConfig } from "../support.ts";
import { withAdapter } from "./adapter.ts";

const config = tinyConfig();
const checkpoint = await randomCheckpoint(config, 21);
const next = random(9);
const withPersona: SessionOptions = {
  seed: 3,
  prompt: "be kind",
  persona: { frame: Uint8Array.from({ length: 16 * 16 * 3 }, () => 255 * next()) },
  voice: normal(next, 3000, 0.1),
};

const observations = (): Observation[] =>
  randomObservations(config, 7, 31).map((observation, unit) => ({
    ...observation,
    ...(unit === 1 ? { text: "hello" } : {}),
  }));

async function replay(options: SessionOptions): Promise<Response[]> {
  await using session = await openSession(checkpoint, options);
  return await Array.fromAsync(session.respond(observations()));
}

/** Everything but times. */
const content = (responses: Response[]) => responses.map(({ stages: _, ...rest }) => rest);

withAdapter("a session answers every unit, in order, with whole units of media", async () => {
  const responses = await replay(withPersona);
  assertEquals(responses.map((r) => r.unit), [0, 1, 2, 3, 4, 5, 6]);
  for (const { audio, frames, tokens, digest, stages, historyTokens } of responses) {
    assertEquals([audio.length, frames.length, tokens.length], [2560, 4 * 16 * 16 * 3, 2]);
    assert(audio.some((v) => v !== 0) && frames.some((v) => v !== frames[0]), "lively output");
    assert(audio.every((v) => Math.abs(v) <= 1));
    assertEquals(digest.length, 64);
    assert(stages.total > 0 && historyTokens > 0);
  }
});

withAdapter("split and fused give the same bytes on one adapter, paper and eager too", async () => {
  const reference = content(
    await replay({ ...withPersona, placement: "fused", schedule: "paper" }),
  );
  for (const placement of ["fused", "split"] as const) {
    for (const schedule of ["paper", "eager"] as const) {
      const other = content(await replay({ ...withPersona, placement, schedule }));
      assertEquals(other, reference, `${placement}, ${schedule}`);
    }
  }
});

withAdapter("the same seed gives the same bytes, another seed others", async () => {
  const sampling = { temperature: 1, topK: 20, topP: 0.9 };
  const first = content(await replay({ ...withPersona, sampling }));
  assertEquals(content(await replay({ ...withPersona, sampling })), first);
  const other = content(await replay({ ...withPersona, sampling, seed: 4 }));
  other.forEach((response, unit) => {
    assertNotEquals(response.digest, first[unit]?.digest);
  });
  assertNotEquals(other.map((r) => r.tokens), first.map((r) => r.tokens));
});

withAdapter(
  "prompt, persona, voice, typed text, sound and picture each change the response",
  async () => {
    const digests = async (options: SessionOptions, change?: (o: Observation[]) => void) => {
      await using session = await openSession(checkpoint, options);
      const list = observations().slice(0, 2);
      change?.(list);
      const feed = (async () => {
        for (const observation of list) await session.push(observation);
        session.end();
      })();
      const responses = await Array.fromAsync(session);
      await feed;
      return responses.map((r) => r.digest);
    };
    const { prompt: _, ...noPrompt } = withPersona;
    const { persona: __, ...noPersona } = withPersona;
    const { voice: ___, ...noVoice } = withPersona;
    const all = await Promise.all([
      digests(withPersona),
      digests(noPrompt),
      digests(noPersona),
      digests(noVoice),
    ]);
    const changed = [
      await digests(withPersona, (list) => list[1] && delete list[1].text),
      await digests(withPersona, (list) => list[1] && (list[1].audio = null)),
      await digests(withPersona, (list) => list[1] && (list[1].frames = null)),
    ];
    assertEquals(new Set([...all, ...changed].map((d) => d[1])).size, 7);
    for (const digest of changed) {
      assertEquals(
        digest[0],
        all[0]?.[0],
        "unit 0 came before the change",
      );
    }
  },
);

const swiftshader = driverFiles().map(stem).find((name) => name.includes("swiftshader"));
withAdapter(
  "thinker and performer on two different adapters agree with one adapter",
  async () => {
    const same = await replay({ ...withPersona, placement: "fused" });
    assert(swiftshader);
    await using session = await openSession(checkpoint, {
      ...withPersona,
      thinker: "lvp",
      performer: swiftshader,
    });
    assertEquals(session.info.placement, "split");
    assertNotEquals(session.info.thinker.adapter, session.info.performers[0]?.adapter);
    for (const observation of observations().slice(0, 3)) await session.push(observation);
    session.end();
    const two = await Array.fromAsync(session);
    assertEquals(two.length, 3);
    two.forEach(({ audio, frames, tokens }, unit) => {
      assertEquals(tokens, same[unit]?.tokens);
      assertClose(audio, same[unit]?.audio ?? [], { absolute: 1e-3 });
      assertClose(frames, same[unit]?.frames ?? [], { absolute: 2 });
    });
  },
  swiftshader ? undefined : "no SwiftShader driver file (Debian: apt-get install chromium)",
);

withAdapter("push() waits until responses are taken", async () => {
  await using session = await openSession(checkpoint, {});
  const list = observations();
  let pushed = 0;
  const feed = (async () => {
    for (const observation of list) {
      await session.push(observation);
      pushed++;
    }
    session.end();
  })();
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  while (pushed < 3) await wait(20);
  await wait(300);
  assertEquals(pushed, 3);
  assertEquals((await Array.fromAsync(session)).length, list.length);
  await feed;
});

withAdapter("a session without input ends without responses", async () => {
  await using session = await openSession(checkpoint, {});
  session.end();
  assertEquals(await Array.fromAsync(session), []);
});

withAdapter("misuse is an InputError that says what may be", async () => {
  const refused = async (options: SessionOptions, message: string) => {
    await assertRejects(() => openSession(checkpoint, options), InputError, message);
  };
  await refused({ thinker: "no such card" }, "adapter 'no such card' matches nothing");
  await refused({ historyUnits: 2 }, "3 or more");
  await refused(
    { placement: "fused", thinker: "lvp", performer: "other" },
    "'fused' has one adapter",
  );
  await using session = await openSession(checkpoint, { placement: "fused" });
  const silent = { audio: null, frames: null };
  /** What a script in JavaScript may pass where types would stop it. */
  const wrong: [call: (value: never) => Promise<unknown>, value: unknown, message: string][] = [
    [openSession, "engine/models/nano-1", "checkpoint: is"],
    [openModel, Promise.resolve(checkpoint), "await openCheckpoint(folder)"],
    [(v) => openSession(checkpoint, {}, v), null, "durability: is null; it must be an object"],
    [(v) => openSession(checkpoint, {}, v), { patience: 0 }, "patience is 0; it may be a number"],
    [(v) => openSession(checkpoint, {}, v), { signal: true }, "true; it may be an AbortSignal"],
    [(v) => openModel(checkpoint, {}, v), { signal: {} }, "signal is {}; it may be an AbortSignal"],
    [(v) => session.push(v), undefined, "observation: is missing"],
    [(v) => session.step(v), Promise.resolve(silent), "observation: is a Promise"],
    [(v) => session.step(silent, v), { signal: 5 }, "step(): signal is 5"],
    [(v) => session.respond(v).next(), silent, "respond(): the observations are {"],
    [(v) => session.respond(v).next(), null, "respond(): the observations are null"],
    [(v) => session.respond([], v).next(), { sginal: 1 }, "did you mean signal?"],
    [(v) => session.snapshot(v), 3, "snapshot(): is 3; it must be an object"],
    [(v) => session.snapshot(v), { after: 1.5 }, "snapshot(): after is 1.5; it may be a whole"],
  ];
  for (const [call, value, message] of wrong) {
    await assertRejects(() => call(value as never), InputError, message);
  }
  session.end();
  assertEquals(await Array.fromAsync(session), [], "nothing was pushed");
});

withAdapter("an observation that is refused leaves no trace", async () => {
  const expected = content(await replay(withPersona));
  await using session = await openSession(checkpoint, withPersona);
  async function* feed() {
    for (const observation of observations()) {
      const audio = observation.audio?.map((sample, i) => i === 7 ? NaN : sample) ?? null;
      const wrong = { ...observation, audio, text: "not typed" };
      await assertRejects(() => session.push(wrong), InputError, "audio[7] is NaN");
      yield observation;
    }
  }
  assertEquals(content(await Array.fromAsync(session.respond(feed()))), expected);
});
