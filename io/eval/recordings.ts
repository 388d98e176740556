/** Recordings with truth records: folders that hold truth.json, user.* and, where it is, agent.*. */
import { basename } from "node:path";
import { InputError } from "../../engine/config/errors.ts";
import { fileDigest } from "../provenance/digests.ts";
import { readTruth, type Truth } from "./measures/truth.ts";

/** One recording, ready to run. */
export interface Recording {
  name: string;
  truth: Truth;
  /** The user's picture and sound. */
  user: string;
  /** The oracle's picture and voice; null: nothing is compared with them. */
  agent: string | null;
  /** Files of the picture and the sound that the agent is given before the first unit. */
  references?: { persona?: string; voice?: string };
  /** Sounds of as many voices as its truth record says, of equal lengths, the agent's first. */
  voices?: string | null;
  digests: Digests;
  /** Removes it, if it was made to be thrown away. */
  dispose(): Promise<void>;
}

/** SHA-256 of a recording's media, and of its truth record. */
export interface Digests {
  recording: string;
  truth: string;
}

const truthName = "truth.json";

/**
 * The folders of recordings in a folder, sorted by name: itself, or those of its folders that hold a
 * truth record; and its other folders, which can't be measured.
 *
 * @throws InputError when there are none.
 */
export async function recordingFolders(
  folder: string,
): Promise<{ folders: string[]; without: string[] }> {
  const entries = await list(folder);
  if (entries.some(({ name }) => name === truthName)) return { folders: [folder], without: [] };
  const folders: string[] = [];
  const without: string[] = [];
  for (const { name, isDirectory } of entries) {
    if (!isDirectory) continue;
    const inside = `${folder}/${name}`;
    const hasTruth = (await list(inside)).some((entry) => entry.name === truthName);
    (hasTruth ? folders : without).push(inside);
  }
  if (folders.length === 0) {
    throw new InputError(
      `${folder}: holds no recording: neither it nor a folder in it has a ${truthName} (docs/eval.md)`,
    );
  }
  return { folders: folders.sort(), without: without.sort() };
}

/** Reads a recording's truth and finds its media. @throws InputError */
export async function openRecording(
  folder: string,
  dispose: () => Promise<void> = () => Promise.resolve(),
): Promise<Recording> {
  const truth = await readTruth(`${folder}/${truthName}`);
  const names = (await list(folder)).filter(({ isFile }) => isFile).map(({ name }) => name).sort();
  const find = (side: string) => {
    // Where render.py wrote both, the one with picture and sound.
    const found = names.filter((name) => name.startsWith(`${side}.`));
    return found.find((name) => !name.endsWith(".wav")) ?? found[0] ?? null;
  };
  const [user, agent] = [find("user"), find("agent")];
  const given = (isGiven: boolean | undefined, side: "persona" | "voice", example: string) => {
    if (!isGiven) return {};
    const name = find(side);
    if (name !== null) return { [side]: `${folder}/${name}` };
    throw new InputError(
      `${folder}: has no ${example}: its truth record says that the agent is given it`,
    );
  };
  const references = {
    ...given(truth.character?.given, "persona", "persona.png"),
    ...given(truth.agentVoice?.given, "voice", "voice.wav"),
  };
  if (user === null) {
    throw new InputError(`${folder}: has no user.mkv (or user.mp4, ...): the recording to answer`);
  }
  const media = [user, ...(agent === null ? [] : [agent])].map((name) => `${folder}/${name}`);
  const among = find("voices");
  const voices = among === null ? null : `${folder}/${among}`;
  const digests = {
    recording: await fileDigest(
      ...media,
      ...Object.values(references),
      ...(voices ? [voices] : []),
    ),
    truth: await fileDigest(`${folder}/${truthName}`),
  };
  const [userPath = "", agentPath = null] = media;
  return {
    ...{ name: basename(folder), truth, user: userPath, agent: agentPath, references },
    ...{ voices, digests, dispose },
  };
}

async function list(folder: string): Promise<Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(folder));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new InputError(`${folder}: there is no such folder: check its name`);
    }
    if (error instanceof Deno.errors.NotADirectory) {
      throw new InputError(`${folder}: this is not a folder: 'eval' takes a folder of recordings`);
    }
    throw error;
  }
}
