/** The page of a run: everything that it needs is sure before the run begins, and it is written after it. */
import type { ModelConfig } from "../../engine/config/config.ts";
import { InputError } from "../../engine/config/errors.ts";
import type { Ffmpeg, FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { streamShapes } from "../media/stream_shape.ts";
import type { RunRequest } from "../run/run_model.ts";
import type { SummaryEvent } from "../pace/events.ts";
import { explain, outputError } from "../system/errors.ts";
import type { OutputFile, Outputs } from "../system/output_file.ts";
import { say } from "../system/terminal.ts";
import { plotLibrary } from "../reports/report.ts";
import { inspectPage } from "./page.ts";
import { RunRecorder } from "./run_recorder.ts";

/** Seconds of stream in a page where `--inspect-last` isn't given. */
const defaultLast = 120;

/** The options that ask for a page. */
interface InspectOptions {
  inspect?: string | undefined;
  "inspect-last"?: number | undefined;
}

export class InspectedRun {
  readonly recorder: RunRecorder;
  readonly #outputs: Outputs;
  readonly #file: OutputFile;
  readonly #library: readonly string[];
  readonly #ffmpeg: Ffmpeg;

  private constructor(
    config: ModelConfig,
    last: number,
    made: { outputs: Outputs; file: OutputFile; library: readonly string[]; ffmpeg: Ffmpeg },
  ) {
    const most = Math.ceil((last * 1000) / config.unit_ms);
    const filler = config.filler_token_id;
    this.recorder = new RunRecorder({ ...streamShapes(config), most, filler });
    this.#outputs = made.outputs;
    this.#file = made.file;
    this.#library = made.library;
    this.#ffmpeg = made.ffmpeg;
  }

  /**
   * Claims the page and lets it look on; null: none is asked for.
   *
   * @param outputs The run's; the caller commits or discards them.
   * @throws InputError when it can't be written or there is no FFmpeg, RunError without the plots' packages.
   */
  static async claim(
    { inspect, "inspect-last": last }: InspectOptions,
    request: RunRequest,
    outputs: Outputs,
    finder: FfmpegFinder,
  ): Promise<InspectedRun | null> {
    if (inspect === undefined) {
      if (last === undefined) return null;
      throw new InputError("--inspect-last: without --inspect FILE there is no page: add it");
    }
    if (!/\.html?$/i.test(inspect)) {
      throw new InputError(`--inspect: '${inspect}' should end in .html`);
    }
    const file = await outputs.claim(inspect);
    const made = { outputs, file, library: await plotLibrary(), ffmpeg: await finder() };
    const page = new InspectedRun(request.config, last ?? defaultLast, made);
    request.onlooker = page.recorder;
    return page;
  }

  /**
   * Writes the page, which the outputs' commit gives its name, and names it in the summary.
   *
   * @returns False where that failed: the page is dropped, and the run's other outputs stay.
   */
  async write(summary: SummaryEvent, quiet: boolean): Promise<boolean> {
    const { path, temporary } = this.#file;
    if (!quiet) say(`making the page ${path}`);
    try {
      const data = await this.recorder.data(this.#ffmpeg);
      if (data === null) {
        say(`${path} was not written: no unit was answered that an earlier run had not answered`);
        await this.#outputs.drop(this.#file);
        return true;
      }
      await Deno.writeTextFile(temporary, inspectPage([data], this.#library));
      summary.outputs["inspect"] = path;
      return true;
    } catch (reason) {
      // Whatever it is: a page is no reason to lose the answers.
      const { text } = explain(outputError(path, reason));
      say(`${text}; ${path} was not written, the response is whole`);
      await this.#outputs.drop(this.#file);
      return false;
    }
  }
}
