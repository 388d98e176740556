/** Sessions of one model: each answers as if it were alone, and adds only its history and states. */
import { Worker } from "node:worker_threads";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { openModel, openSession } from "../../../engine/session/model.ts";
import { paperCheckpoint } from "../../../engine/checkpoint/paper.ts";
import type { Response } from "../../../engine/checkpoint/unit.ts";
import { Model } from "../../../engine/model/model.ts";
import type { SessionOptions } from "../../../engine/model/settings.ts";
import { Performer } from "../../../engine/roles/performer.ts";
import { Thinker } from "../../../engine/roles/thinker.ts";
import { Gpu } from "../../../kernels/gpu/device.ts";
import { room } from "../../../kernels/gpu/tensor.ts";
import { normal, random } from "../../reference/random.ts";
import { randomCheckpoint, randomObservations, settingsFor, tinyConfig } from "../support.ts";
import { withAdapter } from "./adapter.ts";
import { breakRole } from "./faults.ts";

const config = tinyConfig();
const checkpoint = await randomCheckpoint(config, 21);
const next = random(9);
const sessions: SessionOptions[] = [
  { seed: 3 },
  { seed: 4, solver: { name: "heun", steps: 3, guidance: 1.7 }, schedule: "eager" },
  {
    sampling: { temperature: 1 },
    prompt: "be kind",
    persona: { frame: Uint8Array.from({ length: 16 * 16 * 3 }, () => 255 * next()) },
    voice: normal(next, 3000, 0.1),
    historyUnits: 4,
  },
];
const inputs = sessions.map((_, i) => randomObservations(config, 7, 31 + i));
const content = (responses: Response[]) => responses.map(({ stages: _, ...rest }) => rest);

withAdapter("sessions of one model, interleaved, answer byte for byte as each alone", async () => {
  const alone = [];
  for (const [i, options] of sessions.entries()) {
    await using session = await openSession(checkpoint, { ...options, placement: "fused" });
    alone.push(content(await Array.fromAsync(session.respond(inputs[i] ?? []))));
  }
  for (const placement of ["fused", "split"] as const) {
    await using model = await openModel(checkpoint, { placement });
    const opened = await Promise.all(sessions.map((options) => model.openSession(options)));
    const answered = await Promise.all(
      opened.map((session, i) => Array.fromAsync(session.respond(inputs[i] ?? []))),
    );
    assertEquals(answered.map(content), alone, `at once, ${placement}`);

    const stepped: Response[][] = sessions.map(() => []);
    const again = await Promise.all(sessions.map((options) => model.openSession(options)));
    for (let unit = 0; unit < 7; unit++) {
      for (const [i, session] of again.entries()) {
        const observation = inputs[i]?.[unit];
        if (observation) stepped[i]?.push(await session.step(observation));
        // A session that leaves disturbs no other.
        if (i === 0 && unit === 3) await session.close();
        if (i === 0 && unit >= 3) again.splice(0, 1, await model.openSession(sessions[0]));
      }
      if (unit >= 3) inputs[0] = [];
    }
    assertEquals(content(stepped[1] ?? []), alone[1], `in turn, ${placement}`);
    assertEquals(content(stepped[2] ?? []), alone[2], `in turn, ${placement}`);
    inputs[0] = randomObservations(config, 7, 31);
  }
});

withAdapter("a session that takes a closed one's place answers as a new one", async () => {
  const [, , persona] = sessions;
  const long = randomObservations(config, 9, 77);
  for (const options of [{ seed: 3 }, { ...persona, schedule: "eager" }] as SessionOptions[]) {
    await using fresh = await openSession(checkpoint, { ...options, placement: "fused" });
    const expected = content(await Array.fromAsync(fresh.respond(inputs[0] ?? [])));
    await using model = await openModel(checkpoint, { placement: "fused" });
    const opened = () => model.openSession(options, { snapshotEvery: 2 });
    // One that came to its end, past its window; one that was left in the middle; one unused.
    const whole = await opened();
    await Array.fromAsync(whole.respond(long));
    await whole.close();
    const left = await opened();
    for (const observation of long.slice(0, 5)) left.push(observation).catch(() => {});
    await left.close();
    await (await opened()).close();
    for (let round = 0; round < 2; round++) {
      const session = await opened();
      const answered = content(await Array.fromAsync(session.respond(inputs[0] ?? [])));
      assertEquals(answered, expected, `round ${round}`);
      const { thinker } = session.info;
      // No more than two parts: the one that was left may still be ending when the next one opens.
      assert(thinker.allocatedBytes < fresh.info.thinker.allocatedBytes + 3 * thinker.sessionBytes);
      await session.close();
    }
  }
});

withAdapter("a session of an open model takes no option of the model's", async () => {
  await using model = await openModel(checkpoint, { placement: "fused" });
  const cases: [options: unknown, durability: unknown, message: string][] = [
    [null, {}, "options: is null"],
    [{ placement: "split" }, {}, 'options: has the key "placement"'],
    [{ precision: "f16" }, {}, 'options: has the key "precision"'],
    [{ thinker: "none" }, {}, 'options: has the key "thinker"'],
    [{}, { patience: 5 }, 'durability: has the key "patience"'],
  ];
  for (const [options, durability, message] of cases) {
    await assertRejects(
      () => model.openSession(options as object, durability as object),
      InputError,
      message,
    );
  }
});

withAdapter(
  "a session of an open model adds its own bytes alone, and gives them back",
  async () => {
    for (const placement of ["fused", "split"] as const) {
      await using model = await openModel(checkpoint, { placement });
      const open = () => model.openSession({ seed: Math.floor(1000 * next()) });
      const bytes = ({ info: { thinker, performers } }: Awaited<ReturnType<typeof open>>) =>
        [thinker, ...performers].map((role) => [role.allocatedBytes, role.sessionBytes] as const);
      const first = await open();
      const second = await open();
      await second.step(randomObservations(config, 1, 5)[0] ?? { audio: null, frames: null });
      const third = await open();
      const [one, two, three] = [bytes(first), bytes(second), bytes(third)];
      two.forEach(([all, own], i) => assertEquals(all, (one[i]?.[0] ?? 0) + own, placement));
      three.forEach(([all, own], i) => assertEquals(all, (two[i]?.[0] ?? 0) + own, placement));
      second.end();
      assertEquals(await Array.fromAsync(second), []);
      await third.close();
      const fourth = await open();
      fourth.end();
      assertEquals(await Array.fromAsync(fourth), []);
      assertEquals(bytes(await open()), two, `${placement}: what sessions had is free again`);
    }
  },
);

Deno.test("what a session has of its own is its history and its states", async () => {
  const round = (bytes: number) => 16 * Math.ceil(bytes / 16);
  const device = Gpu.onPaper();
  for (const guidance of [1, 2]) {
    const settings = settingsFor(config, { solver: { ...config.solver, guidance } });
    let before = 0;
    for (let count = 0; count < 3; count++) {
      const part = device.part();
      const model = new Model(part, paperCheckpoint(config), settings);
      const thinker = await Thinker.create(model, true);
      await Performer.create(model, false);
      if (count > 0) assertEquals(device.allocatedBytes - before, part.allocatedBytes);
      before = device.allocatedBytes;

      const { window: { slots }, layout, latents } = model;
      const width = config.num_hidden_layers * config.num_key_value_heads * config.head_dim;
      const cache = round(4 * slots * width + room.texture);
      const history = 2 * cache + round(4 * slots + room.uniform) + 16;
      const states = Object.values(thinker.coders).flatMap(({ states }) => [...states.values()])
        .reduce(
          (sum, { shape }) => sum + round(4 * shape.reduce((a, b) => a * b) + room.texture),
          0,
        );
      // The unit's observation and y_{k-1}, as the thinker and the performer hold them.
      const rows = layout.response + layout.observation;
      const held = round(4 * rows * config.hidden_size + room.uniform) +
        2 * round(4 * latents.length + room.uniform);
      assertEquals(part.allocatedBytes, history + states + held);
    }
  }
});

withAdapter("sessions of one model outlive a lost device together", async () => {
  const session = async (i: number) => {
    await using session = await model.openSession(sessions[i], { snapshotEvery: 2 });
    const responses: Response[] = [];
    for await (const response of session.respond(inputs[i] ?? [])) {
      responses.push(response);
      if (i === 0 && response.unit === 3) breakRole("performer", "device");
    }
    return content(responses);
  };
  await using model = await openModel(checkpoint, { placement: "split" });
  const broken = await Promise.all([session(0), session(1)]);
  assertEquals(await Promise.all([session(0), session(1)]), broken);
  assertNotEquals(broken[0], broken[1]);
});

withAdapter(
  "an open model refuses what its sessions can't have, and a closed one says so",
  async () => {
    await assertRejects(
      () => openModel(checkpoint, { seed: 3 } as object),
      InputError,
      "seed",
    );
    const model = await openModel(checkpoint, { placement: "fused" });
    const session = await model.openSession();
    await assertRejects(
      () => model.openSession({ placement: "split", seed: -1 } as object),
      InputError,
      "seed",
    );
    const reading = assertRejects(() => Array.fromAsync(session), Error, "the session was closed");
    await model.close();
    await reading;
    await assertRejects(() => model.openSession(), Error, "the model was closed");
    assert(session.info.thinker.sessionBytes > 0);
  },
);

withAdapter("Workers that stay until the process exits are closed with its last task", async () => {
  const { terminate } = Worker.prototype;
  let ended = 0;
  Worker.prototype.terminate = function () {
    ended++;
    return terminate.call(this);
  };
  try {
    const stays = await openSession(checkpoint, {}, { untilExit: true });
    await stays.close();
    assertEquals(ended, 0, "no driver is unloaded while the process exits");
    dispatchEvent(new Event("beforeunload", { cancelable: true }));
    while (ended === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  } finally {
    Worker.prototype.terminate = terminate;
  }
});

withAdapter("a script ends whose sessions and models are finished or idle, and open", async () => {
  const script = new URL("./leaves_open.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-check", "--allow-read", "--allow-env", script],
    // Far above what it takes: a script that doesn't end fails the test.
    signal: AbortSignal.timeout(600_000),
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  assertEquals([code, text(stdout), text(stderr)], [0, "0,1,2,0,1,2,3", ""]);
});
