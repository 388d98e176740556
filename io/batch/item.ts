/** Answers one item: from its recording to a folder that holds the response and `done.json`. */
import { basename } from "node:path";
import type { ModelConfig } from "../../engine/config/config.ts";
import { errorText } from "../../engine/config/error_text.ts";
import { InputError } from "../../engine/config/errors.ts";
import { givenOptions } from "../cli/options.ts";
import type { Answer, Ends, Finished } from "../ends/ends.ts";
import { FileEnds } from "../ends/file_ends.ts";
import { checkInput } from "../ends/observe.ts";
import { endedFromOutside } from "../ffmpeg/ffmpeg_source.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { streamShapes } from "../media/stream_shape.ts";
import { chooseTracks } from "../media/tracks.ts";
import { choosePace } from "../pace/pace_options.ts";
import { fileDigest, valueDigest } from "../provenance/digests.ts";
import { provenanceOf, type StartedRun, startRun } from "../provenance/provenance.ts";
import { run as runEnds } from "../run/run.ts";
import type { OpenedSession, References, RunRequest } from "../run/run_model.ts";
import { explain, RunError } from "../system/errors.ts";
import { Outputs } from "../system/output_file.ts";
import type { BatchFolder, Claim, Form } from "./folder.ts";
import { fileOptions, type Item } from "./manifest.ts";
import {
  basisDigest,
  type Done,
  type Failed,
  markers,
  type Result,
  resultJson,
} from "./results.ts";

/** What all items of a run have in common. */
export interface Work {
  folder: BatchFolder;
  form: Form;
  /** Digest of the program's source. */
  program: string;
  ffmpeg: FfmpegFinder;
  signal: AbortSignal;
  /** Called with each unit's seconds. */
  progress(seconds: number): void;
}

/** The model that answers an item. */
export interface ItemModel {
  path: string;
  /** Its config and digest. @throws when it can't be opened. */
  checkpoint(): Promise<{ config: ModelConfig; digest: string }>;
  /** Opens a session on the worker's device. @throws InputError when options don't fit. */
  open(
    options: Item["options"],
    references: References,
    request: RunRequest,
  ): Promise<OpenedSession>;
}

/** One item after the other is answered on a device; what comes before and after that may overlap. */
export interface Turn {
  /** The item before has been answered. */
  before: Promise<void>;
  /** Called when this one's answer begins. */
  began(): void;
  /** Called when it has ended. */
  pass(): void;
}

/** How it went. `busy`: another process works on it. */
export type Outcome =
  | { state: "busy" | "interrupted" }
  | { state: "settled"; result: Result; isNew: boolean };

/** Answers an item, unless that was done before. Never throws: a failure is a result. */
export async function answerItem(
  item: Item,
  work: Work,
  model: ItemModel,
  turn: Turn,
): Promise<Outcome> {
  const { folder, form, signal } = work;
  const started = startRun(...replayCommand(item, form));
  const found = await look(item, work, model);
  const common = {
    id: item.id,
    provenance: await provenanceOf(started, { checkpoint: found.checkpoint }),
    digest: basisDigest(found.basis),
    basis: found.basis,
    input: { path: item.input, bytes: found.bytes, sha256: found.basis.input },
    options: item.options,
  };
  const failed = (error: unknown): Result => ({ state: "failed", ...common, ...failure(error) });
  let claim: Claim | null = null;
  try {
    const before = await settled(item, work, common.digest);
    if (before) {
      // The answer is there, whether or not this works.
      await folder.tidy(item.id).catch(() => {});
      return before;
    }
    claim = await folder.claim(item.id);
    if (claim === null) return { state: "busy" };
    const meanwhile = await settled(item, work, common.digest);
    if (meanwhile) return meanwhile;
    await folder.checkOwn(item.id);
    const { attempt } = claim;
    const result = found.problem
      ? failed(found.problem)
      : await answer(item, attempt, work, model, turn, started, common).catch(failed);
    const isCut = result === null || result.state === "failed" && signal.aborted;
    if (isCut) return { state: "interrupted" };
    await Deno.writeTextFile(`${attempt}/${markers[result.state].file}`, resultJson(result));
    await claim.place();
    return { state: "settled", result, isNew: true };
  } catch (error) {
    // Not even that it failed could be written.
    return { state: "settled", result: failed(error), isNew: true };
  } finally {
    await claim?.release();
  }
}

/** What an earlier run left, if it holds still: an answer, or an input that is as bad as before. */
async function settled(
  { id }: Item,
  { folder }: Work,
  digest: string,
): Promise<Outcome | null> {
  const result = await folder.result(id);
  if (result?.digest !== digest) return null;
  const holds = result.state === "failed" ? result.kind === "input" : await isWhole(result, folder);
  return holds ? { state: "settled", result, isNew: false } : null;
}

async function isWhole({ id, outputs }: Done, folder: BatchFolder): Promise<boolean> {
  for (const { name, bytes } of outputs) {
    const info = await Deno.stat(`${folder.of(id)}/${basename(name)}`).catch(() => null);
    if (info?.size !== bytes) return false;
  }
  return true;
}

/** What the item rests on, and what keeps it from being answered. */
async function look(item: Item, work: Work, model: ItemModel) {
  let problem: unknown = null;
  const attempt = async <T>(what: Promise<T>): Promise<T | null> => {
    try {
      return await what;
    } catch (error) {
      problem ??= error;
      return null;
    }
  };
  const digest = async (path: string) => {
    await checkInput(path);
    return await fileDigest(path);
  };
  const input = await attempt(digest(item.input));
  const bytes = input === null ? null : (await attempt(Deno.stat(item.input)))?.size ?? null;
  const files: Record<string, string | null> = {};
  for (const name of fileOptions) {
    const path = item.options[name];
    if (path !== undefined) files[name] = await attempt(digest(path));
  }
  const opened = await attempt(model.checkpoint().catch(fromMachine));
  const plain = givenOptions(item.options)
    .filter(([name]) => !["model", "tune-cache", ...fileOptions].includes(name));
  const basis = {
    input,
    options: valueDigest({ ...Object.fromEntries(plain), files, ...work.form }),
    checkpoint: opened?.digest ?? null,
    program: work.program,
  };
  const checkpoint = opened && {
    path: model.path,
    digest: opened.digest,
    randomWeightsSeed: opened.config.random_weights_seed ?? null,
  };
  return { basis, bytes, checkpoint, problem };
}

/** Runs the item and writes its files. @returns null when it was interrupted. */
async function answer(
  item: Item,
  attempt: string,
  work: Work,
  model: ItemModel,
  turn: Turn,
  run: StartedRun,
  common: Omit<Failed, "state" | "kind" | "message">,
): Promise<Done | null> {
  const { signal } = work;
  const { config } = await model.checkpoint();
  const { options } = item;
  const { "user-text": userText, persona, voice, prompt, units, schedule = "paper" } = options;
  const references = [persona, voice, userText];
  const request: RunRequest = {
    ...{ run, model: model.path, config, pacing: choosePace(options), schedule },
    ...{ saved: null, onlooker: null },
    options: { quiet: true, units, "user-text": userText, persona, voice, prompt },
  };
  const ffmpeg = () => work.ffmpeg().catch(fromMachine);
  const outputs = new Outputs([], false);
  try {
    const names = outputNames(work.form);
    const { user, agent } = streamShapes(config);
    const files = await FileEnds.claim({
      ...{ input: item.input, output: `${attempt}/${names.response}` },
      events: `${attempt}/${names.events}`,
      ...{ references, quiet: true, signal, user, agent, ffmpeg, firstUnit: 0 },
      ...(common.basis.input === null ? {} : { sha256: common.basis.input }),
      tracks: chooseTracks(options),
    }, outputs).catch(fromMachine);
    const ends = new ItemEnds(files, turn, () => work.progress(config.unit_ms / 1000));
    const open = (given: References) => model.open({ ...options, schedule }, given, request);
    const { summary, provenance } = await runEnds(request, ends, open, signal);
    if (summary?.ended === "interrupted" || summary === null && signal.aborted) return null;
    if (summary === null) {
      throw new InputError(`${item.input}: holds not one whole unit (${config.unit_ms} ms)`);
    }
    const { ended, cut } = summary;
    const isMachines = ended === "output broke off" || endedFromOutside.test(cut?.reason ?? "");
    if (isMachines) throw new RunError(cut?.reason ?? ended);
    await outputs.commit();
    const { digest, seconds, realTimeFactor, wallSeconds } = summary;
    return {
      state: "done",
      ...common,
      ...(provenance ? { provenance: { ...provenance, run: summary.run } } : {}),
      ...{ ended, units: summary.units, seconds, cut, text: ends.text, answer: digest },
      outputs: await described(attempt, Object.values(names)),
      ...{ realTimeFactor, wallSeconds },
    };
  } finally {
    await outputs.discard();
  }
}

/** An item's ends: files whose answer waits for its turn on the device. */
class ItemEnds implements Ends {
  readonly arriving = false;
  readonly inTurn = false;
  /** What the agent said. */
  text = "";
  readonly #files: FileEnds;
  readonly #turn: Turn;
  readonly #answered: (answer: Answer) => void;

  constructor(files: FileEnds, turn: Turn, answered: (answer: Answer) => void) {
    this.#files = files;
    this.#turn = turn;
    this.#answered = answered;
  }

  get ffmpeg() {
    return this.#files.ffmpeg;
  }

  open() {
    return this.#files.open();
  }

  tag(comment: string): void {
    this.#files.tag(comment);
  }

  async begin(): Promise<void> {
    await this.#turn.before;
    this.#turn.began();
    await this.#files.begin();
  }

  async write(answer: Answer): Promise<number> {
    const at = await this.#files.write(answer);
    this.text += answer.text;
    this.#answered(answer);
    return at;
  }

  writeEvent(line: string): Promise<void> {
    return this.#files.writeEvent(line);
  }

  async finish(units: number, broken: Error | null): Promise<Finished | null> {
    this.#turn.pass();
    const finished = await this.#files.finish(units, broken);
    // The folder gets its name when all is in it.
    return finished && {
      ...finished,
      outputs: Object.fromEntries(
        Object.entries(finished.outputs).map(([kind, path]) => [kind, basename(path)]),
      ),
    };
  }

  close(): Promise<void> {
    return this.#files.close();
  }
}

/** Names of what is written for an item. */
export function outputNames({ format }: Form) {
  return { response: `response${format}`, text: "response.vtt", events: "events.jsonl" };
}

async function described(folder: string, names: readonly string[]): Promise<Done["outputs"]> {
  return await Promise.all(names.map(async (name) => ({
    name,
    bytes: (await Deno.stat(`${folder}/${name}`)).size,
    sha256: await fileDigest(`${folder}/${name}`),
  })));
}

/** The command that answers the item alone. */
function replayCommand({ input, options }: Item, form: Form): string[] {
  const { response, events } = outputNames(form);
  const given = givenOptions(options).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, `${value}`]
  );
  return ["replay", input, "-o", response, "--events", events, ...given];
}

/** What the recording isn't to blame for: bad input of this kind may be good the next time. */
function fromMachine(error: unknown): never {
  throw error instanceof InputError ? new RunError(error.message) : error;
}

function failure(error: unknown): Pick<Failed, "kind" | "message"> {
  const isInput = error instanceof InputError && !endedFromOutside.test(error.message);
  const isKnown = error instanceof InputError || error instanceof RunError;
  return {
    kind: isInput ? "input" : "machine",
    message: isKnown ? explain(error).text : errorText(error),
  };
}
