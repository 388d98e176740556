/**
 * How a checkpoint of modules reads and looks: asked two units after each spoken question of recordings
 * with truth records, a line for each, and how many were right.
 *
 *     deno run -A scripts/try_modules.ts CHECKPOINT RECORDING...
 */
import { openReader } from "../engine/cascade/reader.ts";
import { openCheckpoint, openModel } from "../engine/mod.ts";
import { openInput } from "../io/ends/observe.ts";
import { openRecording } from "../io/eval/recordings.ts";
import { ffmpegFinder } from "../io/ffmpeg/ffmpeg.ts";
import { streamShapes } from "../io/media/stream_shape.ts";
import { print } from "../io/system/terminal.ts";

const numbers = ["one", "two", "three", "four"];
const [path = "", ...folders] = Deno.args;
const checkpoint = await openCheckpoint(path);
const model = await openModel(checkpoint);
const shapes = streamShapes(checkpoint.config);
const counts = { asked: 0, read: 0, seen: 0 };
for (const folder of folders) {
  const { user } = await openRecording(folder);
  const truth: { events: Asked[] } = JSON.parse(await Deno.readTextFile(`${folder}/truth.json`));
  const reader = await openReader(model);
  const { observations } = await openInput(user, shapes.user, ffmpegFinder(undefined));
  let unit = 0;
  for await (const observation of observations) {
    await reader.push(observation);
    const asked = truth.events.find(({ type, typed, end }) =>
      type === "question" && !typed && end + 2 === unit
    );
    unit++;
    if (!asked) continue;
    const [words, card] = [(await reader.read()).join(" "), (await reader.look()).join(" ")];
    const [colour, shape, count] = asked.card;
    const shown = `${colour} ${shape} ${numbers[count - 1]}`;
    counts.asked++;
    counts.read += Number(words === asked.text);
    counts.seen += Number(card === shown);
    await print(`${folder}: '${asked.text}' read '${words}', '${shown}' seen '${card}'\n`);
  }
  await observations.close();
  await reader.close?.();
}
const { asked, read, seen } = counts;
await print(
  `of ${asked} questions ${read} were read to the word, of as many cards ${seen} were seen\n`,
);
await model.close();
Deno.exit();

/** What is used of a question's event. */
interface Asked {
  type: string;
  typed: boolean;
  text: string;
  end: number;
  card: [colour: string, shape: string, count: number];
}
