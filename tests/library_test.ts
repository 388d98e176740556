/** docs/library.md lists the errors of the library: each is what it says, and no other is thrown. */
import { assert, assertEquals } from "@std/assert";
import {
  InputError,
  listAdapters,
  openCheckpoint,
  openModel,
  openSession,
  snapshotBytes,
  unitLayout,
} from "../engine/mod.ts";
import {
  captions,
  fit,
  loadSnapshot,
  observations,
  paced,
  readUserText,
  recorder,
  saved,
  saveSnapshot,
  sideBySide,
  typing,
} from "../io/mod.ts";
import { figures, findConversations, score } from "../io/score/mod.ts";
import { tinyConfig } from "./engine/support.ts";
import { withCheckpoint } from "./engine/tiny_checkpoint.ts";

const page = await Deno.readTextFile(new URL("../docs/library.md", import.meta.url));
const rows = [...page.matchAll(/^\| `((?:\w*Error): [^`]*)` /gm)].map(([, row = ""]) => row);

/** What a row allows: "..." is anything, PATH a path. */
function pattern(row: string): RegExp {
  const parts = row.split("...").map((part) => RegExp.escape(part).replace("PATH", "\\S*[/.]\\S+"));
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

Deno.test("what is null, a promise or another thing is refused in one line by whatever takes it", async () => {
  const layout = unitLayout(tinyConfig());
  const absent = { audio: null, frames: null };
  const recorded = { path: "a.mkv", shape: layout.agent, units: 1, spoken: [] };
  const session = { respond: () => [], snapshot: () => null };
  const detector = { scores: () => Promise.resolve([]) };
  const side = { path: "none.wav", tracks: { audio: 1, video: "none", channel: "mix" } as const };
  const conversation = {
    name: "c",
    kind: "pair",
    user: side,
    agent: side,
    delay: 0,
    words: null,
  } as const;
  const takers: Record<string, (wrong: never) => unknown> = {
    unitLayout: (wrong) => unitLayout(wrong),
    snapshotBytes: (wrong) => snapshotBytes(wrong),
    "fit, from": (wrong) => fit(wrong, layout),
    "fit, to": (wrong) => fit(layout, wrong),
    "fit, a response": (wrong) => fit(layout, layout)(wrong),
    "fit, resampled": (wrong) =>
      fit({ agent: { ...layout.agent, sampleRate: 24000, samples: 3840 } }, layout)(wrong),
    observations: (wrong) => Array.fromAsync(observations(wrong, { layout })),
    "observations, options": (wrong) => observations("talk.wav", wrong),
    recorder: (wrong) => recorder(wrong, { layout }),
    "recorder, options": (wrong) => recorder("answer.wav", wrong),
    "recorder, info": (wrong) => recorder("answer.wav", { layout, info: wrong }),
    saveSnapshot: (wrong) => saveSnapshot("nowhere", wrong),
    loadSnapshot: (wrong) => loadSnapshot(wrong),
    "sideBySide, a recorder": (wrong) => sideBySide("b.mkv", "a.mkv", wrong),
    "sideBySide, files": (wrong) => sideBySide("b.mkv", wrong, recorded),
    "sideBySide, options": (wrong) => sideBySide("b.mkv", "a.mkv", recorded, wrong),
    "typing, source": (wrong) => Array.fromAsync(typing(wrong, new Map())),
    "typing, text": (wrong) => Array.fromAsync(typing([absent], wrong)),
    readUserText: (wrong) => readUserText(wrong, 160),
    "readUserText, unitMs": (wrong) => readUserText("text.jsonl", wrong),
    captions: (wrong) => captions(wrong, 160, 1),
    findConversations: (wrong) => findConversations(wrong),
    "score, conversation": (wrong) => score(wrong, { detector }),
    "score, options": (wrong) => score(conversation, wrong),
    "score, detector": (wrong) => score(conversation, { detector: wrong }),
    figures: (wrong) => figures(wrong),
    "figures, options": (wrong) => figures([], wrong),
    "findConversations, options": (wrong) => findConversations("nowhere", wrong),
    "paced, session": (wrong) => paced(wrong, []).next(),
    "paced, source": (wrong) => paced(session as never, wrong).next(),
    "saved, session": (wrong) => saved(wrong, [], "nowhere").next(),
    "saved, source": (wrong) => saved(session as never, wrong, "nowhere").next(),
  };
  for (const [name, take] of Object.entries(takers)) {
    for (const wrong of [null, 3, Promise.resolve([]), { none: 1 }]) {
      const error = await Promise.try(() => take(wrong as never)).then(
        () => null,
        (error) => error,
      );
      assert(rows.some((row) => pattern(row).test(`${error}`)), `${error}`);
      const said = `${name}, given ${Deno.inspect(wrong)}: ${error}`;
      assert(error instanceof InputError && !error.message.includes("\n"), said);
    }
  }
});

async function everyError(folder: string): Promise<void> {
  const met = new Set<string>();
  const meet = async (work: () => unknown) => {
    const error = await Promise.try(work).then(() => "nothing was thrown", String);
    const row = rows.find((row) => pattern(row).test(error));
    assert(row !== undefined && !error.includes("\n"), error);
    met.add(row);
  };
  const wrong = (value: unknown) => value as never;
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

  await meet(() => session.respond(wrong(null)).next());
  await meet(() => unitLayout(wrong(null)));
  await meet(() => readUserText(wrong(null), 160));
  await meet(() => readUserText("text.jsonl", wrong(null)));
  await meet(() => captions(wrong(null), 160, 1));
  await meet(() => recorder(`${folder}/a.wav`, { layout, info: wrong({}) }));
  await meet(() => sideBySide(`${folder}/a.mkv`, "a.wav", wrong(null)));
  await meet(() => observations("talk.wav", wrong({})));
  await meet(() => score(wrong({}), { detector: { scores: () => Promise.resolve([]) } }));
  await meet(() => figures(wrong(null)));
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
