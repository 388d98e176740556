/** Opens agents. */
import { Cascade } from "../../engine/cascade/cascade.ts";
import { presets } from "../../engine/cascade/presets.ts";
import type { EndOfTurn } from "../../engine/cascade/parts.ts";
import { openReader } from "../../engine/cascade/reader.ts";
import { openSpeaker } from "../../engine/cascade/speaker.ts";
import { openConfig } from "../../engine/checkpoint/checkpoint.ts";
import { type StreamShape, unitLayout } from "../../engine/checkpoint/unit.ts";
import { InputError } from "../../engine/config/errors.ts";
import { resolveSettings } from "../../engine/model/settings.ts";
import { type Checkpoint, openCheckpoint } from "../../engine/mod.ts";
import type { ModelOptions } from "../cli/model_options.ts";
import type { Truth } from "../eval/measures/truth.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { fileDigest } from "../provenance/digests.ts";
import { openSharedModel, ownModel, sessionOptions } from "../run/open_model.ts";
import { soundRate, windowSamples } from "../score/activity.ts";
import { judgesPython } from "../score/judges.ts";
import { Silero, sileroVersion } from "../score/silero.ts";
import { ifThere } from "../system/errors.ts";
import type { AgentSpec, OpenedAgent, TurnEnd } from "./agent.ts";
import { levelActivity, oracleEnd, silenceTimer, sileroActivity, smartTurn } from "./ears.ts";
import { publicReader, PublicSpeaker, Utterance } from "./public.ts";
import { PublicParts } from "./public_child.ts";
import { openRecorded } from "./recorded.ts";
import { showAndTell } from "./show_and_tell.ts";
import { smartTurnFile, smartTurnVersion } from "./smart_turn.ts";

/** What agents are opened with. */
export interface AgentOptions {
  /** How a checkpoint answers, and where it runs; its seed comes with each recording. */
  model: ModelOptions & { quiet?: boolean };
  ffmpeg: FfmpegFinder;
  /** A checkpoint's responses bring their `inspection` (false). */
  inspect?: boolean;
  /** The folder of the judges (scripts/judges), in whose environment public parts lie. */
  judges: string;
}

/**
 * Opens an agent.
 *
 * @throws InputError when its folder holds neither a checkpoint nor answers, an option doesn't fit, or
 * a part isn't installed.
 */
export async function openAgent(spec: AgentSpec, options: AgentOptions): Promise<OpenedAgent> {
  if (spec.kind !== "folder") return await openCascade(spec, options);
  if (await ifThere(Deno.stat(`${spec.folder}/config.json`)) === null) {
    return await openRecorded(spec, await openConfig(await ownModel()), options.ffmpeg);
  }
  if (spec.delay !== null) {
    throw new InputError(
      `agent ${spec.text}: delay is about answers, and ${spec.folder} is a checkpoint`,
    );
  }
  const { shared, checkpoint, given, settings, line } = await openModules(spec.folder, options);
  return {
    name: spec.text,
    line: `${spec.folder}: one model, ${line}`,
    settings: { kind: "checkpoint", ...settings },
    checkpointDigest: checkpoint.digest,
    config: checkpoint.config,
    open: async (_, seed) => (await shared.open({ ...given, seed }, {})).session,
    close: () => shared.close(),
    programs: () => Promise.resolve([]),
  };
}

/** A checkpoint on its adapters, and how its sessions answer. */
async function openModules(folder: string, { model, inspect = false }: AgentOptions) {
  const checkpoint: Checkpoint = await openCheckpoint(folder);
  const given = { ...model, model: folder, schedule: "eager" } as const;
  const own = sessionOptions({ ...given, seed: undefined });
  const { solver, sampling, storage, weights, historyUnits } = resolveSettings(checkpoint, own);
  return {
    ...{ shared: await openSharedModel(checkpoint, given, { inspect }), checkpoint, given, own },
    settings: { solver, sampling, storage, weights, historyUnits },
    line: `${solver.name}, ${solver.steps} steps`,
  };
}

/** The modules that come with the program. */
async function ownModules(): Promise<string> {
  const folder = (await ownModel()).replace(/nano-1$/, "nano-modules");
  if (await ifThere(Deno.stat(`${folder}/config.json`)) !== null) return folder;
  throw new InputError(
    `there is no checkpoint in ${folder}: give cascade:public,model=FOLDER, which sees the cards`,
  );
}

async function openCascade(
  spec: AgentSpec & { kind: "cascade" | "public" },
  options: AgentOptions,
): Promise<OpenedAgent> {
  const { activity, preset, end, bargeIn } = spec.choice;
  const turns = { ...presets[preset], ...(bargeIn === null ? {} : { bargeIn }) };
  const folder = spec.model ?? await ownModules();
  // What is missing shows before anything is opened.
  const network = end.by === "smart" ? await smartTurnFile(options.judges) : undefined;
  if (spec.kind === "public") {
    await judgesPython(options.judges, "cascade:public: its parts aren't");
  }
  await using closing = new AsyncDisposableStack();
  const { shared, checkpoint, own, settings, line } = await openModules(folder, options);
  closing.defer(() => shared.close());
  const layout = unitLayout(checkpoint.config);
  checkHearing(folder, layout.user);
  const parts = spec.kind === "public" ? closing.use(await PublicParts.open(options.judges)) : null;
  const usesChild = activity === "silero" || network !== undefined;
  const child = usesChild ? closing.use(await Silero.open(network)) : null;
  const speaks = (seed: number) =>
    openSpeaker(shared.model, checkpoint, { ...own.solver && { solver: own.solver }, seed });
  const face = parts && await stillFace(speaks(0), layout.agent.frames);

  const endOf = (name: string, truth: Truth | null): EndOfTurn => {
    if (end.by === "silence") return silenceTimer(end.seconds);
    if (end.by === "smart" && child) return smartTurn(child);
    if (truth) return oracleEnd(truth);
    throw new InputError(`agent ${spec.text}: ${name} has no truth record: end=oracle needs one`);
  };
  const by = endText(end);
  const detector = activity === "silero" ? sileroVersion : "-40 dB of full scale";
  const program = parts &&
    await fileDigest(...programs.map((name) => `${options.judges}/${name}`));
  const ends = closing.move();
  return {
    name: spec.text,
    line: `cascade of ${parts ? `${parts.names}, a still face, cards by ${folder}` : folder}: ` +
      `${detector} (${preset}), turn's end by ${by}, barge-in ${turns.bargeIn} s, ${line}`,
    settings: {
      ...{ kind: spec.kind, activity: detector, preset, turns, end: by, ...settings },
      ...(parts ? { public: parts.names, face: "still", program } : {}),
    },
    checkpointDigest: checkpoint.digest,
    config: checkpoint.config,
    async open({ name, truth }, seed) {
      const endOfTurn = endOf(name, truth);
      const detects = child && activity === "silero" ? sileroActivity(child) : levelActivity;
      const cards = await openReader(shared.model, seed);
      if (!parts || !face) {
        const speaker = await speaks(seed);
        const all = { activity: detects, endOfTurn, reader: cards, answerer: showAndTell, speaker };
        return new Cascade(all, turns, layout);
      }
      const utterance = new Utterance(detects, turns.threshold);
      return new Cascade(
        {
          ...{ activity: utterance, endOfTurn, answerer: showAndTell },
          reader: publicReader(parts, utterance, cards),
          speaker: new PublicSpeaker(parts, layout.agent, face),
        },
        turns,
        layout,
      );
    },
    close: () => ends.disposeAsync(),
    programs: () => Promise.all([child, parts].flatMap((one) => one ? [one.work()] : [])),
  };
}

/** Detectors hear 16 kHz in windows that a unit is made of. @throws InputError */
function checkHearing(folder: string, { sampleRate, samples }: StreamShape): void {
  if (sampleRate === soundRate && samples % windowSamples === 0) return;
  throw new InputError(
    `${folder}: its units have ${samples} samples at ${sampleRate} Hz: a cascade needs ${soundRate} Hz ` +
      `and units of whole windows of ${windowSamples} samples`,
  );
}

/** What shapes the answers of public parts, beside their packages. */
const programs = ["cascade.py", "kokoro.py"];

const endText = (end: TurnEnd) =>
  end.by === "silence"
    ? `${end.seconds} s of silence`
    : end.by === "smart"
    ? smartTurnVersion
    : "an oracle";

/** The last picture of a speaker's first unit, in all frames of a unit. */
async function stillFace(opening: ReturnType<typeof openSpeaker>, count: number) {
  const speaker = await opening;
  const { frames } = await speaker.next();
  await speaker.close?.();
  const size = frames.length / count;
  for (let i = 0; i < count - 1; i++) frames.copyWithin(i * size, (count - 1) * size);
  return frames;
}
