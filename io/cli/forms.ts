/** The forms in which figures stand on standard output, beside text. */
import { InputError } from "../../engine/config/errors.ts";
import type { Option } from "./options.ts";

/** The options' declarations. */
export const formOptions = {
  json: { kind: "flag", help: "figures as JSON on standard output" },
  csv: { kind: "flag", help: "tables as comma-separated values" },
  markdown: { kind: "flag", help: "tables in Markdown" },
} as const satisfies Record<string, Option>;

export type Forms = Record<keyof typeof formOptions, boolean>;

/** @throws InputError when more than one form is asked for. */
export function checkForms(forms: Forms): void {
  const [first, second] = (["json", "csv", "markdown"] as const).filter((name) => forms[name]);
  if (second) throw new InputError(`--${first} and --${second}: standard output takes one of them`);
}
