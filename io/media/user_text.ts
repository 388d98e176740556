/** Text that the user types while the recording plays: `{"at": seconds, "text": "..."}` per line, or a
 * JSON array of such objects. */
import { InputError } from "../../engine/config/errors.ts";
import { localPath } from "../../engine/config/local_path.ts";
import { readError } from "../system/errors.ts";
import { kindOf, valueText } from "../../engine/config/error_text.ts";

/** Text by the unit in which it is typed. */
export type UserText = Map<number, string>;

const maxBytes = 16 << 20;

/**
 * Reads a file of timed text. Several lines of one unit are joined by a space, in the file's order.
 *
 * @throws InputError that names the line.
 */
export async function readUserText(file: string | URL, unitMs: number): Promise<UserText> {
  const path = localPath(file);
  if (!(unitMs > 0)) {
    throw new InputError(
      `unitMs is ${valueText(unitMs)}; it may be a session's layout.agent.unitMs`,
    );
  }
  let content: string;
  try {
    const { size, isFile } = await Deno.stat(path);
    if (!isFile || size > maxBytes) {
      throw new InputError(`${path}: timed text is one file of at most ${maxBytes} bytes`);
    }
    content = new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(path));
  } catch (error) {
    if (error instanceof InputError) throw error;
    if (error instanceof TypeError) throw new InputError(`${path}: is not UTF-8 text`);
    throw readError(path, error);
  }
  return parseUserText(content, path, unitMs);
}

/** Parses timed text; `path` is for messages. @throws InputError */
export function parseUserText(content: string, path: string, unitMs: number): UserText {
  const typed: UserText = new Map();
  for (const { at, text } of entriesOf(content.replace(/^\uFEFF/, ""), path)) {
    // A time at a unit's border belongs to the later unit; the small term undoes float rounding.
    const unit = Math.floor((at * 1000) / unitMs + 1e-9);
    const before = typed.get(unit);
    typed.set(unit, before === undefined ? text : `${before} ${text}`);
  }
  return typed;
}

interface Entry {
  at: number;
  text: string;
}

function entriesOf(content: string, path: string): Entry[] {
  if (content.trimStart().startsWith("[")) {
    const list = parseJson(content, path);
    return (Array.isArray(list) ? list : []).map((value, i) =>
      checkEntry(value, `${path}: entry ${i + 1}`)
    );
  }
  return content.split("\n").flatMap((line, i) => {
    const where = `${path}: line ${i + 1}`;
    return line.trim() === "" ? [] : [checkEntry(parseJson(line, where), where)];
  });
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(`${where} is no JSON: it should look like {"at": 1.5, "text": "Hello"}`);
  }
}

function checkEntry(value: unknown, where: string): Entry {
  if (kindOf(value) !== "Object") {
    throw new InputError(
      `${where} is ${valueText(value)}: it should look like {"at": 1.5, "text": "Hello"}`,
    );
  }
  const { at, text } = value as Record<string, unknown>;
  if (typeof at !== "number" || !(at >= 0)) {
    throw new InputError(`${where}: "at" is ${valueText(at)}: it should be seconds, 0 or more`);
  }
  if (typeof text !== "string" || text === "") {
    throw new InputError(`${where}: "text" is ${valueText(text)}: it should be text`);
  }
  return { at, text };
}
