/** Results as JSON: the schema's name, the provenance, the figures. */
import { print } from "../system/terminal.ts";
import type { Provenance } from "./provenance.ts";

/**
 * A result. A key whose value isn't known is there all the same, as null.
 *
 * @param schema Name and version, as docs/schemas.md lists them, e.g. "replay/1".
 */
export function resultText(schema: string, provenance: Provenance, figures: object): string {
  const whole = { schema: `wanstream/${schema}`, provenance, ...figures };
  return `${JSON.stringify(whole, (_, value) => value ?? null, 2)}\n`;
}

/** Prints a result on standard output. */
export const printResult = (...result: Parameters<typeof resultText>): Promise<void> =>
  print(resultText(...result));
