/** The commit that this program stands at, read from the repository's files without running git. */
import { createHash } from "node:crypto";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder that holds deno.json. */
const own = import.meta.resolve("../../deno.json");

export interface Revision {
  commit: string | null;
  /** A tracked file differs from the commit; null: that isn't known. */
  dirty: boolean | null;
}

let running: Promise<Revision> | undefined;

/** The commit of the repository in a folder, by default the program's own; null: there is none. The
 * program's own is looked for once, because what is loaded doesn't change. */
export function revisionOf(root?: string): Promise<Revision> {
  return root === undefined ? running ??= find() : find(root);
}

async function find(root?: string): Promise<Revision> {
  try {
    const folder = root ?? dirname(fileURLToPath(own));
    // In a worktree .git is a file that names the folder, whose references lie in the common one.
    let git = join(folder, ".git");
    if ((await Deno.stat(git)).isFile) {
      git = resolve(folder, (await Deno.readTextFile(git)).replace("gitdir: ", "").trim());
    }
    const commit = await commitIn(git);
    return { commit, dirty: await isDirty(folder, join(git, "index")).catch(() => null) };
  } catch {
    return { commit: null, dirty: null };
  }
}

async function commitIn(git: string): Promise<string | null> {
  const head = (await Deno.readTextFile(join(git, "HEAD"))).trim();
  if (!head.startsWith("ref: ")) return head;
  const reference = head.slice(5);
  const common = await Deno.readTextFile(join(git, "commondir")).then(
    (text) => resolve(git, text.trim()),
    () => git,
  );
  const loose = await Deno.readTextFile(join(common, reference)).catch(() => "");
  if (loose !== "") return loose.trim();
  const packed = await Deno.readTextFile(join(common, "packed-refs"));
  return packed.split("\n").find((line) => line.endsWith(` ${reference}`))?.split(" ")[0] ?? null;
}

/**
 * Whether files differ from git's index, or the index from every tree that was written: added changes
 * make its cached root tree invalid until they are committed.
 *
 * Source: git's documentation `gitformat-index`, versions 2 and 3.
 */
async function isDirty(root: string, path: string): Promise<boolean | null> {
  const bytes = await Deno.readFile(path);
  const written = (await Deno.stat(path)).mtime ?? new Date(0);
  const view = new DataView(bytes.buffer);
  const text = (from: number, to: number) => new TextDecoder().decode(bytes.subarray(from, to));
  if (text(0, 4) !== "DIRC" || view.getUint32(4) > 3) return null;
  let at = 12;
  const same: Promise<boolean>[] = [];
  for (let left = view.getUint32(8); left > 0; left--) {
    const flags = view.getUint16(at + 60);
    const name = at + (flags & 0x4000 ? 64 : 62);
    const end = bytes.indexOf(0, name);
    const [seconds, nanoseconds] = [view.getUint32(at + 8), view.getUint32(at + 12)];
    const entry = {
      path: join(root, text(name, end)),
      ms: seconds * 1000 + Math.floor(nanoseconds / 1e6),
      size: view.getUint32(at + 36),
      blob: bytes.subarray(at + 40, at + 60).toHex(),
    };
    const isFile = view.getUint32(at + 24) >> 12 === 0o10;
    if (flags & 0x3000) return true;
    if (isFile) same.push(isUnchanged(entry, written.getTime()));
    at += Math.ceil((end + 1 - at) / 8) * 8;
  }
  if ((await Promise.all(same)).includes(false)) return true;
  return text(at, at + 4) === "TREE" && text(at + 9, at + 11) === "-1";
}

/** Like git: a file with the size and time that the index knows, older than the index, is taken as it
 * is; of others the contents count. */
async function isUnchanged(
  { path, ms, size, blob }: { path: string; ms: number; size: number; blob: string },
  written: number,
): Promise<boolean> {
  const info = await Deno.stat(path).catch(() => null);
  if (!info?.isFile) return false;
  const isOld = ms < written && info.mtime?.getTime() === ms;
  if (isOld && info.size % 2 ** 32 === size) return true;
  const contents = await Deno.readFile(path);
  return createHash("sha1").update(`blob ${contents.length}\0`).update(contents).digest("hex") ===
    blob;
}
