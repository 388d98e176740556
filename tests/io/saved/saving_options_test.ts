import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import type { Snapshot } from "../../../engine/mod.ts";
import { keptOptions, type SavedProgress, textDigest } from "../../../io/saved/saved_progress.ts";
import { chooseSaving } from "../../../io/saved/saving_options.ts";
import { SessionFolder } from "../../../io/system/session_folder.ts";
import { folderTest } from "../media.ts";
import { snapshotAfter } from "../session_saver.ts";

type Choice = Parameters<typeof chooseSaving>[0];

const nothing: Choice = {
  ...{ "save-session": undefined, every: undefined, resume: undefined, session: undefined },
  ...{ fork: undefined, force: false, "no-tune": false },
  ...{ seed: undefined, solver: undefined, steps: undefined, shift: undefined },
  ...{ guidance: undefined, temperature: undefined, "top-k": undefined, "top-p": undefined },
};

/** Saves a replay after unit 7 that was started with these options. */
async function save(path: string, options: Partial<Choice>, changes: object = {}): Promise<void> {
  const snapshot: Snapshot = snapshotAfter(7);
  const settings = {
    ...{ seed: 5, schedule: "eager" },
    solver: { name: "euler", steps: 4, shift: 1, guidance: 1 },
    sampling: { temperature: 0, topK: 0, topP: 1 },
  };
  Object.assign(snapshot.meta, { settings });
  const progress: SavedProgress = {
    command: "replay",
    options: keptOptions(options),
    userText: await textDigest(options["user-text"]),
    input: { path: "talk.mp4", sha256: "0".repeat(64) },
    ...{ first: 0, units: 8, every: 4, lineBytes: 4000, wallMs: 900.5 },
  };
  await new SessionFolder(path).save(snapshot, { ...progress, ...changes });
}

folderTest("a resumed run takes over what wasn't given, and keeps what was", async (at) => {
  const typed = `${at}/typed.jsonl`;
  await Deno.writeTextFile(typed, "");
  await save(`${at}/saved`, {
    ...{ model: "/m", "user-text": typed, network: "350ms", pace: "live", late: "skip" },
    ...{ placement: "split", thinker: "lvp", units: 9, "no-tune": true, "audio-channel": "left" },
  });
  const resume = { ...nothing, resume: `${at}/saved` };
  const { saving, options } = await chooseSaving(resume, "replay");
  assertEquals(options, {
    ...{ ...resume, model: "/m", "user-text": typed, network: "350ms", pace: "live", late: "skip" },
    ...{ placement: "split", thinker: "lvp", units: 9, "no-tune": true, "audio-channel": "left" },
  });
  assertEquals([saving?.every, saving?.origin?.schedule, saving?.fork], [4, "eager", false]);
  assertEquals(saving?.kept.options, keptOptions(options));

  // What doesn't change the answers may be another; the same text may lie elsewhere.
  await Deno.copyFile(typed, `${at}/copy.jsonl`);
  const other = { placement: "fused", pace: "max", model: "/n", units: 20, every: 2 } as const;
  const given = { ...resume, ...other, "user-text": `${at}/copy.jsonl`, late: "skip" } as const;
  const again = await chooseSaving(given, "replay");
  assertEquals(again.options, { ...options, ...given, "no-tune": true });
  assertEquals(again.saving?.every, 2);

  const fork = await chooseSaving({ ...resume, fork: "f", network: "1s", seed: 6 }, "stream");
  assertEquals([fork.options.network, fork.options.seed, fork.options.late], ["1s", 6, "skip"]);
  assertEquals([fork.options.units, fork.saving?.fork], [undefined, true]);

  const refused = async (change: Partial<Choice>, message: string, command = "replay" as const) => {
    const choose = () => chooseSaving({ ...resume, ...change }, command);
    await assertRejects(choose, InputError, message);
  };
  await refused({ network: "1s" }, "--network: 1s, but the session was saved with 350ms: leave it");
  await refused({ late: "wait" }, "--late: wait, but the session was saved with skip");
  await refused(
    { "audio-channel": "2" },
    "--audio-channel: 2, but the session was saved with left",
  );
  await refused(
    { "audio-track": "none" },
    "--audio-track: none, but the session was saved without",
  );
  await refused({ seed: 6 }, "--seed: 6, but the session was saved with 5");
  await Deno.writeTextFile(`${at}/copy.jsonl`, " ");
  await refused(
    { "user-text": `${at}/copy.jsonl` },
    `copy.jsonl, but the session was saved with /`,
  );
  await Deno.remove(typed);
  await refused({}, "typed.jsonl: there is no such file");
  await assertRejects(() => chooseSaving(resume, "stream"), InputError, "'replay' saved it");
});

folderTest("a saved run whose record is damaged is refused by the field's name", async (at) => {
  const refused = async (changes: object, field: string) => {
    await save(`${at}/saved`, {}, changes);
    const choose = () => chooseSaving({ ...nothing, resume: `${at}/saved` }, "replay");
    await assertRejects(choose, InputError, `session.json: progress.${field}`);
  };
  await refused({ command: "eval" }, "command");
  await refused({ options: [] }, "options");
  await refused({ options: { network: 5 } }, "options.network");
  await refused({ options: { pace: "slow" } }, "options.pace");
  await refused({ options: { units: -1 } }, "options.units");
  await refused({ options: { "no-tune": "yes" } }, "options.no-tune");
  await refused({ userText: 7 }, "userText");
  await refused({ input: null }, "input");
  await refused({ units: 9 }, "units");
  await refused({ every: 0 }, "every");
  await refused({ lineBytes: 0.5 }, "lineBytes");
});
