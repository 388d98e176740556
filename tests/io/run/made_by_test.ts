import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { run } from "../../../io/commands/replay.ts";
import { MatroskaMuxer } from "../../../io/media/matroska_muxer.ts";
import { WavWriter } from "../../../io/media/wav.ts";
import { defaultSolver } from "../../../engine/config/solver.ts";
import { type Provenance, provenanceOf, startRun } from "../../../io/provenance/provenance.ts";
import { version } from "../../../io/system/program.ts";
import { madeBy } from "../../../io/run/made_by.ts";
import { echo } from "../echo_replay.ts";
import { digest, ffmpeg, ffmpegTest, userShape } from "../media.ts";

const settings = {
  ...{ seed: 7, solver: { ...defaultSolver, guidance: 1.5 }, weights: "int8", historyUnits: 40 },
  sampling: { temperature: 0, topK: 0, topP: 1 },
  prompt: "Be brief.",
};
const origin = {
  seeds: { noise: 7 },
  checkpoint: { path: "m", digest: "abc", randomWeightsSeed: null },
};

/** The line of a run with these settings. */
async function line(more: Record<string, unknown> = {}): Promise<string> {
  const made: Provenance = await provenanceOf(startRun("x"), {
    ...origin,
    settings: { ...settings, ...more },
  });
  return madeBy(made, "replay INPUT -o OUTPUT", null);
}

Deno.test("madeBy() has what shapes the answers, and nothing else", async () => {
  const made = await line();
  assertEquals(
    made,
    `wanstream ${version}; checkpoint abc; seed 7; wanstream replay INPUT -o OUTPUT --seed 7 ` +
      "--steps 4 --solver euler --guidance 1.5 --shift 1 --temperature 0 --top-k 0 --top-p 1 " +
      "--precision int8 --history-units 40 --prompt TEXT",
  );
  const same = { placement: "split", schedule: "eager", pace: "live", units: 4, late: "wait" };
  assertEquals(await line(same), made);
  for (const other of [{ late: "skip" }, { seed: 8 }, { voice: "a.wav" }, { prompt: null }]) {
    assert(await line(other) !== made, JSON.stringify(other));
  }
  const network = { delay: 350, jitter: 80, loss: 0.01, seed: 7 };
  assertStringIncludes(await line({ network }), "--network 350ms+-80ms,loss=1%,seed=7");
});

/** The comment that FFmpeg finds in a file. */
async function comment(path: string): Promise<string | undefined> {
  const { stdout } = await new Deno.Command(ffmpeg?.path ?? "", {
    args: ["-v", "error", "-i", path, "-f", "ffmetadata", "-"],
  }).output();
  const text = new TextDecoder().decode(stdout).replaceAll("\\", "");
  return /^comment=(.*)$/im.exec(text)?.[1];
}

ffmpegTest("every file says what made it, with the same bytes wherever it lies", async (at) => {
  const wav = await WavWriter.create(`${at}/in.wav`, 16000);
  await wav.write(Float32Array.from({ length: 3 * 2560 }, (_, i) => Math.sin(i)));
  await wav.close();
  const kinds = ["mkv", "mp4", "webm", "wav"];
  const made = async (folder: string, kind: string, ...more: string[]) => {
    const path = `${at}/${folder}/${kind}.${kind}`;
    const both = kind === "mp4" ? ["--side-by-side", `${at}/${folder}/both.mkv`] : [];
    assertEquals(
      await run([`${at}/in.wav`, "-o", path, "--quiet", ...both, ...more], echo().open),
      0,
    );
    return path;
  };
  for (const kind of kinds) {
    const one = await made("one", kind);
    if (kind === "mkv" || kind === "wav") {
      const other = await made("other", kind, "--pace", "live", "--events", `${at}/${kind}.jsonl`);
      assertEquals(await digest(one), await digest(other), kind);
    }
    const found = await comment(one);
    assertStringIncludes(found ?? "", `wanstream ${version}; checkpoint `, kind);
    assertStringIncludes(found ?? "", "; wanstream replay INPUT -o OUTPUT", kind);
  }
  assertEquals(await comment(`${at}/one/both.mkv`), await comment(`${at}/one/mp4.mp4`));
  const muxer = new MatroskaMuxer(userShape);
  const { frames, width, height, samples } = userShape;
  const unit = {
    ...{ unit: 0, text: "", audio: new Float32Array(samples) },
    frames: new Uint8Array(frames * width * height * 3),
  };
  const stream = new Blob([muxer.start("made by me"), muxer.unit(unit)]);
  await Deno.writeFile(`${at}/stream.mkv`, new Uint8Array(await stream.arrayBuffer()));
  assertEquals(await comment(`${at}/stream.mkv`), "made by me");
});
