/** What a batch's folder holds, without what differs from run to run: times, load, machine, paths. */
import { digest } from "../media.ts";

/** Keys of events and markers whose values are times, or tell where and when something ran. */
const fleeting = new Set([
  ...["ms", "interactionMs", "latencyMs", "wallSeconds", "workSeconds", "realTimeFactor"],
  ...["run", "machine", "roles", "command", "path"],
]);

function lasting(json: string): string {
  return JSON.stringify(JSON.parse(json, (key, value) => fleeting.has(key) ? undefined : value));
}

/**
 * Contents by path: of media a digest, of events and markers the JSON that has to be equal.
 *
 * @param folder A batch's folder.
 */
export async function contents(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const ids = [...Deno.readDirSync(folder)].filter(({ isDirectory }) => isDirectory)
    .map(({ name }) => name).filter((name) => !name.startsWith(".")).sort();
  for (const id of ids) {
    for (const { name } of [...Deno.readDirSync(`${folder}/${id}`)]) {
      const path = `${folder}/${id}/${name}`;
      let content: string;
      if (name === "events.jsonl") {
        content = Deno.readTextFileSync(path).trimEnd().split("\n").map(lasting).join("\n");
      } else if (name.endsWith(".json")) {
        const json = JSON.parse(Deno.readTextFileSync(path));
        // The digest of the events is one of their times.
        for (const output of json.outputs ?? []) {
          if (output.name === "events.jsonl") output.bytes = output.sha256 = null;
        }
        content = lasting(JSON.stringify(json));
      } else content = await digest(path);
      found.set(`${id}/${name}`, content);
    }
  }
  return new Map([...found].sort(([a], [b]) => a < b ? -1 : 1));
}
