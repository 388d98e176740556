/** The program's name and version, as headers and reports give them. */
import { join, resolve } from "node:path";
import config from "../../deno.json" with { type: "json" };

export const program = `wanstream ${config.version}`;

/** The commit of the repository in a folder; "unknown" where there is no repository. */
export async function commitOf(root: string): Promise<string> {
  try {
    // In a worktree .git is a file that names the folder, whose references lie in the common one.
    let git = join(root, ".git");
    if ((await Deno.stat(git)).isFile) {
      git = resolve(root, (await Deno.readTextFile(git)).replace("gitdir: ", "").trim());
    }
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
    return packed.split("\n").find((line) => line.endsWith(` ${reference}`))?.split(" ")[0] ??
      "unknown";
  } catch {
    return "unknown";
  }
}
