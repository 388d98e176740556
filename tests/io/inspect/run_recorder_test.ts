import { assert, assertEquals } from "@std/assert";
import { differences, partingText } from "../../../io/inspect/differences.ts";
import { dataElement } from "../../../io/inspect/run_data.ts";
import { ffmpegTest, finder } from "../media.ts";
import { readWavHeader } from "../../../io/media/wav.ts";
import { hostile, madeUp } from "./made_up.ts";

ffmpegTest("a recorder keeps the last units, with sound and pictures in step", async (folder) => {
  const data = await (await madeUp({ units: 30, most: 8 })).data(await finder());
  assertEquals(data?.units.map(({ unit }) => unit), [22, 23, 24, 25, 26, 27, 28, 29]);
  assertEquals(data?.notes, [
    "The page begins at unit 22 (3.52 s): it holds the last 1.28 s of the run.",
  ]);
  // What happened before its first unit is gone too.
  assertEquals(data?.happened, []);
  await Deno.writeFile(`${folder}/a.wav`, Uint8Array.fromBase64(data?.wav ?? ""));
  const { channels, sampleRate, length } = await readWavHeader(`${folder}/a.wav`) ?? {};
  assertEquals([channels, sampleRate, length], [2, 16000, 8 * 2560 * 4]);
  for (const { pictures } of data?.units ?? []) {
    for (const jpeg of [pictures.user, pictures.agent]) {
      const bytes = Uint8Array.fromBase64(jpeg ?? "");
      assertEquals([...bytes.subarray(0, 2), ...bytes.subarray(-2)], [0xff, 0xd8, 0xff, 0xd9]);
    }
  }
});

ffmpegTest(
  "a lost unit has neither picture nor sound, and the answers' shares sum to one",
  async () => {
    const data = await (await madeUp({ units: 13 })).data(await finder());
    const [lost, late] = [data?.units[5], data?.units[12]];
    assertEquals([lost?.pictures.user, lost?.level.user, lost?.event.observation], [
      null,
      null,
      "lost",
    ]);
    assertEquals(late?.busyMs, 5 + 20 + 180 + 15 + 3);
    assertEquals(data?.units[3]?.typed, hostile);
    const inside = late?.inside;
    const row = inside?.shares.slice(0, 21).reduce((sum, share) => sum + share, 0) ?? 0;
    assert(Math.abs(row - 10_000) < 21, `${row}`);
    assertEquals(await (await madeUp({ units: 0 })).data(await finder()), null);
  },
);

ffmpegTest("units that were heard and not answered push nothing out", async () => {
  const recorder = await madeUp({ units: 10, most: 2 });
  for (const unit of [10, 11, 12]) recorder.observe(unit, { audio: null, frames: null });
  const data = await recorder.data(await finder());
  assertEquals(data?.units.map(({ unit }) => unit), [8, 9]);
});

ffmpegTest("differences() finds the first unit of each kind", async () => {
  const finding = await finder();
  const of = async (partsAt: number) => await (await madeUp({ units: 25, partsAt })).data(finding);
  const [one, two, same] = [await of(Infinity), await of(13), await of(Infinity)];
  assert(one && two && same);
  assertEquals(differences(one, same).first, []);
  assertEquals(partingText([one, same]), "the 25 units that both runs have are the same");
  assertEquals(differences(one, two).first.map(({ what, unit }) => [what, unit]), [
    ["latents", 13],
    ["words", 14],
    ["sound's level", 14],
    ["what it was given", 20],
  ]);
  assertEquals(partingText([one, two]), "the runs part in unit 13: latents");
  // What a cascade doesn't tell is no difference.
  const cascade = await (await madeUp({ units: 25, cascade: true })).data(finding);
  const kinds = cascade && differences(one, cascade).first.map(({ what }) => what);
  assertEquals(kinds?.includes("probability of speaking"), false);
  assertEquals(cascade?.units[12]?.busyMs, 1 + 30 + 60);
  // A run that begins later is compared by the units' numbers.
  const later = { ...two, units: two.units.slice(16) };
  assertEquals(differences(one, later).common, 9);
  assertEquals(differences(one, later).first[0]?.unit, 16);
});

Deno.test("no text ends the page's data", () => {
  const element = dataElement({ runs: [{ typed: `${hostile}<!--` }] });
  assertEquals(element.split("<").length, 3);
  const json = element.slice(element.indexOf(">") + 1, element.lastIndexOf("<"));
  assertEquals(JSON.parse(json), { runs: [{ typed: `${hostile}<!--` }] });
});
