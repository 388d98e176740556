/** Results of several events files put together, as if one run had made them. */
import { InputError } from "../../../engine/config/errors.ts";
import { say } from "../../system/terminal.ts";
import { difference } from "./basis.ts";
import { type EvalFile, resultKey } from "./events_file.ts";
import type { RecordingResult } from "./recording_result.ts";

/**
 * Results of all files. What two files both have counts once, and is named.
 *
 * @throws InputError that names files which rest on different things.
 */
export function merged(files: readonly EvalFile[]): { results: RecordingResult[]; unitMs: number } {
  const [first] = files;
  const reference = first?.results[0];
  if (!first || !reference) {
    throw new InputError(`${first?.path}: holds no recording: run 'eval' with it first`);
  }
  const { unitMs } = first.header;
  const known = new Map<string, RecordingResult>();
  const twice: string[] = [];
  for (const { path, results } of files) {
    for (const result of results) {
      const { name, basis } = result;
      const other = difference(basis, reference.basis);
      if (other !== null) {
        throw new InputError(
          `${path}: ${name} rests on ${other} than ${reference.name} of ${first.path}: figures ` +
            "are of one kind of run; compare two by --against",
        );
      }
      const before = known.get(resultKey(result));
      if (
        before && (before.basis.recording !== basis.recording || before.basis.truth !== basis.truth)
      ) {
        throw new InputError(`${path}: ${name} is another recording than that of an earlier file`);
      }
      if (before) twice.push(name);
      else known.set(resultKey(result), result);
    }
  }
  if (twice.length > 0) say(`counted once, though several files have it: ${twice.join(", ")}`);
  const adapters = new Set(
    files.flatMap(({ header }) => header.runs)
      .flatMap(({ roles }) => roles ? [roles.map(({ adapter }) => adapter).join(" and ")] : []),
  );
  if (adapters.size > 1) say(`the results come from several adapters: ${[...adapters].join("; ")}`);
  return { results: [...known.values()], unitMs };
}
