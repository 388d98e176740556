/** A script's snapshots in a folder, in the form in which the commands save their sessions. */
import { givenSession, givenSource } from "../../engine/checkpoint/given.ts";
import { InputError } from "../../engine/config/errors.ts";
import { readOptions, whole } from "../../engine/config/option_rules.ts";
import type { Observation, Session } from "../../engine/mod.ts";
import { type Snapshot, wholeSnapshot } from "../../engine/roles/snapshot.ts";
import { localPath } from "../../engine/config/local_path.ts";
import { defaultName, SessionFolder } from "../system/session_folder.ts";

/**
 * Saves a snapshot under a name, in place of one that had it before: the folder holds the old one or the
 * new one, whole, at any moment. Snapshots in one folder share what they have in common.
 *
 * @param folder A path or a `file:` URL; it is made when it isn't there.
 * @param name Up to 64 letters, digits, '-' and '_'.
 * @throws InputError when the snapshot is damaged, the folder can't be written, or a run's session has
 * that name.
 */
export async function saveSnapshot(
  folder: string | URL,
  snapshot: Snapshot,
  name: string = defaultName,
): Promise<void> {
  const whole = wholeSnapshot(snapshot);
  const path = localPath(folder);
  const sessions = new SessionFolder(path);
  if (await sessions.progress(name) !== null) {
    throw new InputError(`${path}: a run saved '${name}' and goes on from it: choose another name`);
  }
  await sessions.save(whole, null, name);
}

/**
 * Loads a snapshot that `saveSnapshot`, or a command's --save-session, has saved.
 *
 * @param folder A path or a `file:` URL.
 * @throws InputError when there is none of this name, or it is damaged.
 */
export async function loadSnapshot(
  folder: string | URL,
  name: string = defaultName,
): Promise<Snapshot> {
  return wholeSnapshot((await new SessionFolder(localPath(folder)).load(name)).snapshot);
}

/**
 * Passes observations on to the session that answers them, and saves it after every so many of them and
 * after the last: `session.respond(saved(session, talk, "folder"))`. A session that goes on after
 * `loadSnapshot("folder")` takes the units from `snapshot.meta.unit + 1` on.
 *
 * @param folder As `saveSnapshot` takes it.
 * @param options `every`: units from save to save (25); `name`: the snapshot's.
 * @throws InputError as `saveSnapshot` does.
 */
export async function* saved(
  session: Pick<Session, "snapshot">,
  observations: Iterable<Observation> | AsyncIterable<Observation>,
  folder: string | URL,
  options: { every?: number; name?: string } = {},
): AsyncGenerator<Observation> {
  const { every = 25, name } = readOptions(options, {
    every: whole(1, 1e6),
    name: { kind: "text" },
  });
  givenSession("saved()", session);
  givenSource("saved()", observations);
  let units = 0;
  const save = async () => await saveSnapshot(folder, await session.snapshot(), name);
  for await (const observation of observations) {
    yield observation;
    if (++units % every === 0) await save();
  }
  if (units % every > 0) await save();
}
