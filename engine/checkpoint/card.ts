/** What stands beside published weights: the card with its licence, the chat template. */
import { Template } from "npm:@huggingface/jinja@0.5.11";
import { basename, dirname } from "node:path";
import { errorText } from "../config/error_text.ts";
import { InputError } from "../config/errors.ts";
import { readJson, readTextIfThere } from "../weights/files.ts";

/** What a system prompt stands between. */
export interface PromptFrame {
  before: string;
  after: string;
}

/** Longer templates are no chat's. */
const templateBytes = 1 << 16;

/**
 * The licence that a model card states, e.g. "apache-2.0"; null: it states none, or there is no card.
 *
 * @param path The model's folder, or a file in it. A folder like `vae` has its card one folder up.
 */
export async function statedLicence(path: string): Promise<string | null> {
  for (const folder of [path, dirname(path)]) {
    const card = await readTextIfThere(`${folder}/README.md`, 1 << 20);
    const [, head = ""] = /^---\r?\n([\s\S]*?)\r?\n---/.exec(card ?? "") ?? [];
    const [, name] = /^license:[ \t]*["']?([\w.-]{1,64})/m.exec(head) ?? [];
    if (card !== null) return name ?? null;
  }
  return null;
}

/** What a model is called: its folder's or its file's name. */
export const partName = (path: string) => basename(path) || path;

/**
 * How a folder's chat template frames a system prompt; null: it has no template.
 *
 * @throws InputError when the template can't be read, or leaves a system prompt out.
 */
export async function systemFrame(folder: string): Promise<PromptFrame | null> {
  const jinja = `${folder}/chat_template.jinja`;
  const file = `${folder}/tokenizer_config.json`;
  let template: unknown = await readTextIfThere(jinja, templateBytes);
  let where = jinja;
  if (template === null && await readTextIfThere(file, 16 << 20) !== null) {
    template = ((await readJson(file, 16 << 20)) as Record<string, unknown> | null)?.chat_template;
    where = `${file}: chat_template`;
  }
  return typeof template === "string" ? frameOf(template, where) : null;
}

/** The same of a template's text. @param where For messages. @throws InputError */
export function frameOf(template: string, where: string): PromptFrame {
  if (template.length > templateBytes) {
    throw new InputError(`${where}: has ${template.length} letters; it may have ${templateBytes}`);
  }
  const mark = "the system prompt stands here";
  let text: string;
  try {
    const messages = [{ role: "system", content: mark }];
    text = new Template(template).render({ messages, add_generation_prompt: false });
  } catch (error) {
    throw new InputError(
      `${where}: can't be rendered (${errorText(error)}): remove it, or mend it`,
    );
  }
  const [before, after, more] = text.split(mark);
  if (before !== undefined && after !== undefined && more === undefined) return { before, after };
  throw new InputError(`${where}: doesn't give a system prompt once: remove it, or mend it`);
}
