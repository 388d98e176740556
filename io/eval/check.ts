/** What will be measured of a folder's recordings, and why something won't be, before anything is run. */
import type { ModelConfig } from "../../engine/config/config.ts";
import { InputError } from "../../engine/config/errors.ts";
import { openInput } from "../ends/observe.ts";
import type { FfmpegFinder } from "../ffmpeg/ffmpeg.ts";
import { recordsCsv, type Table, tableMarkdown, tableOf, tableText } from "../reports/table.ts";
import { type StreamShape, streamShapes } from "../media/stream_shape.ts";
import type { Forms } from "../cli/forms.ts";
import { leftOut } from "./jobs.ts";
import { judgeAll } from "./measurement.ts";
import type { Measure, Outcome } from "./measures/outcomes.ts";
import type { Truth, TruthEvent } from "./measures/truth.ts";
import { openRecording, type Recording, recordingFolders } from "./recordings.ts";
import { refuseLonger, wholeUnits } from "./run.ts";

/** What an agent can do in a recording: how often each is judged where it behaves as the oracle. */
const counted = [
  "right",
  "missed",
  "pause start",
  "silence start",
  "stop delay",
  "selective",
  "naming",
  "greeting",
] as const satisfies Measure[];

const titles: Record<typeof counted[number], string> = {
  right: "answers",
  missed: "delays",
  "pause start": "pauses",
  "silence start": "silences",
  "stop delay": "stops",
  selective: "noises",
  naming: "namings",
  greeting: "greetings",
};

export interface RecordingCheck {
  name: string;
  units: number | null;
  swapped: boolean | null;
  /** Events that are judged of an agent that does what the oracle does. */
  judged: Record<typeof counted[number], number> | null;
  /** Whether voice, lips and picture are compared: there is an oracle's recording. */
  compared: boolean | null;
  /** What isn't measured, and why. */
  notes: string[];
  /** Why the recording can't be run; null: it can. */
  problem: string | null;
}

export interface FolderCheck {
  recordings: RecordingCheck[];
  /** What the folder holds that isn't measured. */
  leftOut: string[];
}

/** Looks at every recording of a folder. @throws InputError when it holds none. */
export async function checkFolder(
  folder: string,
  config: ModelConfig,
  ffmpeg: FfmpegFinder,
): Promise<FolderCheck> {
  const { folders, without } = await recordingFolders(folder);
  const recordings: RecordingCheck[] = [];
  const opened: Recording[] = [];
  for (const path of folders) {
    const found: RecordingCheck = {
      ...{ name: path.split("/").at(-1) ?? path, units: null, swapped: null, judged: null },
      ...{ compared: null, notes: [], problem: null },
    };
    recordings.push(found);
    try {
      const recording = await openRecording(path);
      opened.push(recording);
      Object.assign(found, judgedOf(recording, config.unit_ms));
      await checkMedia(recording, config, ffmpeg);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      found.problem = error.message;
    }
  }
  return { recordings, leftOut: leftOut(opened, without) };
}

function judgedOf({ name, truth, agent }: Recording, unitMs: number): RecordingCheck {
  const active = truth.timeline.map((unit) => unit.agent);
  const words = truth.timeline.flatMap(({ word }, unit) =>
    word === null ? [] : [{ word: word.toLowerCase(), unit }]
  );
  const outcomes = judgeAll({ truth, active, truthActive: active, words }, unitMs);
  const swapped = truth.swap !== null;
  const count = (measure: Measure) =>
    swapped && measure !== "right" ? 0 : outcomes.filter((one) => one.measure === measure).length;
  const judged = Object.fromEntries(counted.map((measure) => [measure, count(measure)]));
  const notes = [
    ...(swapped ? [] : truth.events.flatMap((event) => notesOf(event, truth, outcomes))),
    ...(swapped ? ["it is a swap: its answers alone are judged"] : []),
    ...(agent === null && !swapped
      ? ["it has no agent.*: voice (but when it is active), lips and picture aren't measured"]
      : []),
  ];
  return {
    ...{ name, units: truth.units, swapped, compared: agent !== null && !swapped },
    judged: judged as RecordingCheck["judged"],
    ...{ notes, problem: null },
  };
}

/** Why an event won't be judged. */
function notesOf(
  event: TruthEvent,
  { timeline, events }: Truth,
  outcomes: readonly Outcome[],
): string[] {
  const has = (measure: Measure, unit: number) =>
    outcomes.some((one) => one.measure === measure && one.unit === unit);
  switch (event.type) {
    case "question": {
      const what = `the question in unit ${event.start} isn't judged`;
      const lone = event.interrupts &&
        !events.some((one) => one.type === "interruption" && one.onset === event.start);
      const notes = lone ? [`${what} as interrupting: no interruption begins in that unit`] : [];
      if (!has("missed", event.start)) {
        return [...notes, `${what}: the user takes the turn again less than 4 units after its end`];
      }
      if (has("right", event.start)) return notes;
      return [
        ...notes,
        `${what} for its answer: its words aren't in the timeline from unit ${event.answer} on, or ` +
        "end less than 3 units before the user's next turn",
      ];
    }
    case "interruption":
      if (timeline[event.onset]?.agent && timeline[event.onset - 1]?.agent) return [];
      return [
        `the interruption in unit ${event.onset} is judged only where the agent speaks there: the ` +
        "oracle doesn't",
      ];
    case "naming":
    case "greeting":
      if (has(event.type, event.start)) return [];
      return [
        `the ${event.type} in unit ${event.start} isn't judged: its words aren't in the timeline ` +
        "from there on",
      ];
    default:
      return [];
  }
}

/** @throws InputError when media and truth record don't fit together. */
async function checkMedia(
  { truth, user, agent }: Recording,
  config: ModelConfig,
  ffmpeg: FfmpegFinder,
): Promise<void> {
  const shapes = streamShapes(config);
  const check = async (path: string, shape: StreamShape, needsBoth: boolean) => {
    const { observations, facts } = await openInput(path, shape, ffmpeg);
    await observations.close();
    refuseLonger(facts, truth.units, config.unit_ms);
    const whole = wholeUnits((facts.seconds ?? Infinity) + 0.04, config.unit_ms);
    if (whole < truth.units) {
      throw new InputError(
        `${path}: has ${whole} whole units: its truth record has ${truth.units}`,
      );
    }
    if (needsBoth && !(facts.audio && facts.video)) {
      throw new InputError(
        `${path}: has no ${facts.audio ? "picture" : "sound"}: it must have both`,
      );
    }
  };
  await check(user, shapes.user, false);
  if (agent !== null) await check(agent, shapes.agent, true);
}

/** What was found in the form that was asked for: as a table, with a line for each thing that isn't
 * measured, or as comma-separated values. */
export function checkText(found: FolderCheck, forms: Omit<Forms, "json">): string {
  if (forms.csv) {
    return recordsCsv(found.recordings.map(({ judged, notes, ...one }) => ({
      ...one,
      ...Object.fromEntries(counted.map((measure) => [measure, judged?.[measure] ?? null])),
      notes: notes.join("; "),
    })));
  }
  const table = checkTable(found);
  return forms.markdown ? tableMarkdown(table) : tableText(table).replace(/^\n/, "");
}

function checkTable({ recordings, leftOut }: FolderCheck): Table {
  const lines = recordings.flatMap(({ name, notes, problem }) => [
    ...(problem === null ? [] : [problem]),
    ...notes.map((note) => `${name}: ${note}`),
  ]);
  return tableOf("", recordings, [
    ["", ({ name }) => name],
    ["units", ({ units }) => units === null ? null : `${units}`],
    ...counted.map((measure) =>
      [
        titles[measure],
        ({ judged }: RecordingCheck) => judged === null ? null : `${judged[measure]}`,
      ] as const
    ),
    ["voice, lips, picture", ({ compared }) => compared === null ? null : compared ? "yes" : "no"],
    ["verdict", ({ problem }) => problem === null ? "runs" : "FAILS"],
  ], [...lines, ...leftOut]);
}
