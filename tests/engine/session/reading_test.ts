/** The ends of a loop: breaking out, stepping, signals, closing, errors of the source. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { openModel, openSession } from "../../../engine/session/model.ts";
import type { SessionOptions } from "../../../engine/model/settings.ts";
import type { Observation, Response } from "../../../engine/checkpoint/unit.ts";
import { randomCheckpoint, randomObservations, tinyConfig } from "../support.ts";
import { withAdapter } from "./adapter.ts";

const config = tinyConfig();
const checkpoint = await randomCheckpoint(config, 21);
const options: SessionOptions = { placement: "fused", seed: 3, sampling: { temperature: 1 } };
const list = randomObservations(config, 6, 31).map((observation, unit) => ({
  ...observation,
  ...(unit === 1 ? { text: "hello" } : {}),
}));
const [first, second, third] = list as [Observation, Observation, Observation];
const open = (changes: SessionOptions = {}) => openSession(checkpoint, { ...options, ...changes });

/** Everything but times. */
const content = (responses: Response[]) => responses.map(({ stages: _, ...rest }) => rest);
const units = (responses: Response[]) => responses.map(({ unit }) => unit);

withAdapter(
  "streaming, step() and lockstep by hand give the same bytes in both schedules",
  async () => {
    let streamed: unknown;
    for (const schedule of ["paper", "eager"] as const) {
      await using stream = await open({ schedule });
      const all = content(await Array.fromAsync(stream.respond(list)));
      streamed ??= all;
      assertEquals(all, streamed, schedule);

      await using stepped = await open({ schedule });
      const steps = [];
      for (const observation of list) steps.push(await stepped.step(observation));
      assertEquals(content(steps), streamed, `step, ${schedule}`);

      await using byHand = await open({ schedule });
      const reader = byHand[Symbol.asyncIterator]();
      const taken: Response[] = [];
      for (const [i, observation] of list.entries()) {
        await byHand.push(observation);
        // Two units at a time, too.
        if (i === 2) continue;
        for (let left = i === 3 ? 2 : 1; left > 0; left--) taken.push((await reader.next()).value);
      }
      assertEquals(content(taken), streamed, `lockstep, ${schedule}`);

      await using waiting = await open({ schedule });
      const early = waiting[Symbol.asyncIterator]();
      const ahead: Response[] = [];
      for (const observation of list.slice(0, 3)) {
        const coming = early.next();
        await waiting.push(observation);
        ahead.push((await coming).value);
      }
      assertEquals(
        content(ahead),
        content(steps).slice(0, 3),
        `a reader that waits first, ${schedule}`,
      );
    }
  },
);

withAdapter(
  "who breaks out of respond() ends the source, and the next respond() has its own",
  async () => {
    await using session = await open();
    let isFinished = false;
    let given = 0;
    function* source() {
      try {
        for (;;) {
          given++;
          yield first;
        }
      } finally {
        isFinished = true;
      }
    }
    for await (const _ of session.respond(source())) break;
    assert(isFinished);
    assertEquals(units([await session.step(second)]), [given]);
    const four = list.slice(0, 4);
    assertEquals(
      units(await Array.fromAsync(session.respond(four))),
      [1, 2, 3, 4].map((i) => given + i),
    );
    await assertRejects(
      () => Array.fromAsync(session),
      Error,
      "its responses were read: open another",
    );
  },
);

withAdapter("a session has one reader at a time", async () => {
  await using session = await open();
  const reader = session[Symbol.asyncIterator]();
  const waiting = reader.next();
  const refused = "an iteration reads the session's responses";
  await assertRejects(() => session[Symbol.asyncIterator]().next(), Error, refused);
  await assertRejects(() => session.step(first), Error, refused);
  await assertRejects(() => session.respond([first]).next(), Error, refused);
  await session.push(first);
  await session.push(second);
  assertEquals((await waiting).value.unit, 0);
  await reader.return?.(undefined);
  await assertRejects(() => session.step(third), Error, "1 responses before its own");
  for await (const { unit } of session) {
    assertEquals(unit, 1);
    break;
  }
  assertEquals((await session.step(third)).unit, 2);
});

withAdapter("close() in the middle rejects the reader and the writers that wait", async () => {
  const session = await open();
  const reading = assertRejects(
    () => Array.fromAsync(session),
    Error,
    "closed before unit 0 was answered",
  );
  await session.close();
  await reading;
  await assertRejects(
    () => session.push(first),
    Error,
    "push(): the session was closed: open another",
  );

  const full = await open();
  for (const observation of list.slice(0, 3)) await full.push(observation);
  const closed = "the session was closed before unit";
  const refused = [
    assertRejects(() => full.push(first), Error, closed),
    assertRejects(() => full.snapshot({ after: 9 }), Error, closed),
  ];
  await full.close();
  await Promise.all(refused);
});

withAdapter("an error of the source comes after the responses to what it gave", async () => {
  await using session = await open();
  const broken = new Error("the file ends in a unit");
  function* source() {
    yield* list.slice(0, 3);
    throw broken;
  }
  const taken: Response[] = [];
  const error = await assertRejects(async () => {
    for await (const response of session.respond(source())) taken.push(response);
  });
  assert(error === broken);
  assertEquals(units(taken), [0, 1, 2]);
});

withAdapter("a signal ends opening, respond() and step() with its reason", async () => {
  const reason = new Error("enough");
  await assertRejects(
    () => openSession(checkpoint, options, { signal: AbortSignal.abort(reason) }),
    Error,
    "enough",
  );
  const opening = new AbortController();
  const opened = openSession(checkpoint, options, { signal: opening.signal });
  const ended = assertRejects(() => opened);
  opening.abort(reason);
  assert(await ended === reason);

  await using session = await open();
  const stop = new AbortController();
  let isFinished = false;
  function* source() {
    try {
      yield* list.slice(0, 2);
      stop.abort(reason);
      yield* list;
    } finally {
      isFinished = true;
    }
  }
  const error = await assertRejects(() =>
    Array.fromAsync(session.respond(source(), { signal: stop.signal }))
  );
  assert(error === reason);
  assert(isFinished);
  const stopped = new AbortController();
  const step = session.step(first, { signal: stopped.signal });
  stopped.abort(reason);
  assert(await assertRejects(() => step) === reason);
  // What was pushed stays part of the conversation.
  const unit = (await session.step(second)).unit;
  assert(unit >= 2 && unit <= 6, `${unit}`);
});

withAdapter("snapshot({ after }) is the one that snapshot() gives at that unit", async () => {
  await using session = await open();
  const asked = session.snapshot({ after: 2 });
  const never = session.snapshot({ after: 100 });
  const refused = assertRejects(() => never, Error, "after unit 100: the input ended after unit 5");
  let at2: unknown;
  for (const [unit, observation] of list.entries()) {
    await session.step(observation);
    if (unit === 2) at2 = await session.snapshot();
  }
  assertEquals(await asked, at2);
  await assertRejects(() => session.snapshot({ after: 2 }), Error, "ask before unit 3 is given");
  await assertRejects(
    () => session.snapshot({ after: 0.5 }),
    InputError,
    "snapshot(): after is 0.5",
  );
  session.end();
  await refused;
});

withAdapter(
  "a session for its text alone gives the same text and latents, silent and black",
  async () => {
    const { placement, ...rest } = options;
    await using model = await openModel(checkpoint, placement ? { placement } : {});
    const replay = async (textOnly: boolean) => {
      await using session = await model.openSession(rest, { textOnly });
      return await Array.fromAsync(session.respond(list));
    };
    // Parts of a closed session aren't taken over by one of the other kind.
    const [heard, silent, again] = [await replay(false), await replay(true), await replay(false)];
    assertEquals(content(again), content(heard));
    const kept = (responses: Response[]) =>
      content(responses).map(({ audio: _, frames: __, ...rest }) => rest);
    assertEquals(kept(silent), kept(heard));
    for (const [i, { audio, frames }] of silent.entries()) {
      assertEquals([audio.length, frames.length], [
        heard[i]?.audio.length,
        heard[i]?.frames.length,
      ]);
      assert(audio.every((sample) => sample === 0) && frames.every((value) => value === 0));
    }
  },
);

withAdapter(
  "details bring latents, probabilities and the typed text that waits, and change nothing",
  async () => {
    await using plain = await open();
    const without = await Array.fromAsync(plain.respond(list));
    assert(without.every((response) => !("details" in response)));
    await using session = await openSession(checkpoint, options, { details: true });
    const responses = await Array.fromAsync(session.respond(list));
    assertEquals(
      content(responses).map(({ details: _, ...rest }) => rest),
      content(without),
    );
    const vocabulary = config.vocab_size;
    for (const { details, digest, tokens } of responses) {
      assert(details);
      const { latents: { audio, video }, probabilities } = details;
      assertEquals([audio.length, video.length, probabilities.length], [16, 48, 2 * vocabulary]);
      const flat = new Float32Array([...audio, ...video]);
      const hash = await crypto.subtle.digest("SHA-256", flat);
      assertEquals(new Uint8Array(hash).toHex(), digest);
      for (const [slot, token] of tokens.entries()) {
        const row = probabilities.subarray(slot * vocabulary, (slot + 1) * vocabulary);
        const sum = row.reduce((a, b) => a + b);
        assert(Math.abs(sum - 1) < 1e-4 && (row[token] ?? 0) > 0, `${sum}`);
      }
    }
    assertEquals(
      responses.map(({ details }) => details?.waiting),
      ["", "llo", "o", "", "", ""],
    );
  },
);
