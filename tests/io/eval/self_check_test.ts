/** The measures measured: the oracle's own part is perfect, silence misses everything, a part that
 * belongs to another moment is bad. On the set that comes with the repository. */
import { assert, assertEquals } from "@std/assert";
import { openConfig } from "../../../engine/checkpoint/checkpoint.ts";
import { type Row, rowsOf } from "../../../io/eval/figures/bars.ts";
import { evaluate } from "../../../io/eval/evaluate.ts";
import { chooseJobs } from "../../../io/eval/jobs.ts";
import { recordingFolders } from "../../../io/eval/recordings.ts";
import { ffmpegTest, finder } from "../media.ts";
import { oraclePart, type Part, perfectCodec, player, silence } from "./players.ts";

const set = new URL("../../../samples/eval", import.meta.url).pathname;
const config = await openConfig(new URL("../../../engine/models/nano-1", import.meta.url));
const folders = (await recordingFolders(set)).folders.filter((folder) =>
  /10000[012](-|$)/.test(folder)
);

async function rowsFor(change: (part: Part) => Part, only = folders): Promise<Map<string, Row>> {
  const played: Part[] = [];
  for (const folder of only) played.push(change(await oraclePart(folder, config)));
  const choice = { seeds: undefined, seconds: 24, swaps: undefined, keep: undefined, world: "" };
  const jobs = (await chooseJobs({ ...choice, folder: set, limit: undefined }, config.unit_ms))
    .filter(({ name }) => only.some((folder) => folder.endsWith(`/${name}`)));
  const results = await evaluate({
    jobs,
    noiseSeeds: [0],
    basis: { checkpoint: "c", settings: "s", program: "p" },
    earlier: [],
    config,
    open: player(played).open,
    openCodec: () => Promise.resolve(perfectCodec),
    ffmpeg: finder,
    events: null,
    quiet: true,
    signal: new AbortController().signal,
  });
  assertEquals(results.map(({ name }) => name), jobs.map(({ name }) => name));
  return new Map(rowsOf(results, config.unit_ms, 0).map((row) => [row.key, row]));
}

const plain = folders.filter((folder) => !/-/.test(folder.slice(folder.lastIndexOf("/"))));

ffmpegTest("the oracle's own part reaches every bar that is known", async () => {
  const rows = await rowsFor((part) => part);
  const short = [...rows.values()].filter(({ key, bar }) =>
    bar?.met === false && key !== "questions"
  );
  assertEquals(short, []);
  const value = (key: string) => rows.get(key)?.value;
  for (const key of ["missed", "falseStarts", "logMelDistance", "lipsLag"]) {
    assertEquals(value(key), 0, key);
  }
  for (const key of ["takeoverRate", "activityF1", "lipsOverTruth"]) {
    assertEquals(value(key), 1, key);
  }
  assert((value("pictureFrechet") ?? 1) < 1e-6);
  assert((rows.get("missed")?.events ?? 0) >= 10);
});

ffmpegTest("silence misses every question and starts nothing", async () => {
  const still = silence(config);
  const rows = await rowsFor(
    ({ media }) => ({ texts: media.map(() => ""), media: media.map(() => still) }),
    plain,
  );
  const value = (key: string) => rows.get(key)?.value;
  assertEquals(value("missed"), 1);
  assertEquals(value("takeoverRate"), 0);
  assertEquals(value("falseStarts"), 0);
  assertEquals(value("activityF1"), 0);
  assertEquals(rows.get("delayP50")?.events, 0);
  assertEquals(rows.get("logMelDistance")?.events, 0);
  assert((value("pictureFrechet") ?? 0) > 100);
});

ffmpegTest("the oracle's part from another moment is wrong, late, and out of step", async () => {
  const turn = <T>(list: T[], by: number) => [...list.slice(by), ...list.slice(0, by)];
  const rows = await rowsFor(
    // The mouth is moved by half a second more than the voice.
    ({ texts, media }) => {
      const voices = turn(media, 40);
      const faces = turn(media, 43);
      return {
        texts: turn(texts, 40),
        media: voices.map(({ audio }, unit) => ({
          audio,
          frames: (faces[unit] ?? silence(config)).frames,
        })),
      };
    },
    plain,
  );
  const value = (key: string) => rows.get(key)?.value ?? NaN;
  assert(value("activityF1") < 0.7, `${value("activityF1")}`);
  assert(value("falseStarts") > 0.1, `${value("falseStarts")}`);
  assert(value("lipsOverTruth") < 0.5, `${value("lipsOverTruth")}`);
  assertEquals(value("lipsLag"), -12);
});
