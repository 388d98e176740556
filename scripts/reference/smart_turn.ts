/**
 * Smart Turn's network in onnxruntime-web, as cascades run it, and in onnxruntime, as Pipecat does: the
 * probabilities of the last 3 s at each second of recordings.
 *
 *     deno run -A scripts/reference/smart_turn.ts samples/voice.mp4 samples/eval/100003/user.mp4
 *
 * Needs `deno task setup --judges`.
 */
import { smartTurnFile, whisperFeatures } from "../../io/agents/smart_turn.ts";
import { ffmpegFinder } from "../../io/ffmpeg/ffmpeg.ts";
import { defaultTracks } from "../../io/media/tracks.ts";
import { judgesPython } from "../../io/score/judges.ts";
import { listen } from "../../io/score/listen.ts";
import { Silero } from "../../io/score/silero.ts";

const judges = new URL("../judges", import.meta.url).pathname;
const network = await smartTurnFile(judges);
const features: Float32Array<ArrayBuffer>[] = [];
for (const path of Deno.args) {
  const { sound } = await listen({ path, tracks: defaultTracks }, null, ffmpegFinder(undefined));
  for (let end = 16000; end <= sound.length; end += 16000) {
    const made = whisperFeatures(sound.subarray(Math.max(0, end - 48000), end));
    features.push(Float32Array.from(made));
  }
}

const child = new Deno.Command(await judgesPython(judges, "Smart Turn isn't"), {
  args: [
    "-c",
    "import sys, numpy, onnxruntime; network = onnxruntime.InferenceSession(sys.argv[1])\n" +
    "for one in numpy.frombuffer(sys.stdin.buffer.read(), '<f4').reshape(-1, 1, 80, 800):\n" +
    "    print(network.run(None, {'input_features': one})[0].item())",
    network,
  ],
  ...{ stdin: "piped", stdout: "piped" },
}).spawn();
const writing = new Blob(features).stream().pipeTo(child.stdin);
const { stdout } = await child.output();
await writing;
const theirs = new TextDecoder().decode(stdout).trim().split("\n").map(Number);
await using silero = await Silero.open(network);
let [sum, most, others] = [0, 0, 0];
for (const [i, one] of features.entries()) {
  const [own, their] = [await silero.judge(one), theirs[i] ?? NaN];
  const difference = Math.abs(own - their);
  sum += difference;
  most = Math.max(most, difference);
  if (own > 0.5 !== their > 0.5) others++;
}
const line =
  `${features.length} pieces: probabilities differ by ${(sum / features.length).toFixed(3)} ` +
  `on average, ${most.toFixed(3)} at most; ${others} fall on another side of 0.5\n`;
await Deno.stdout.write(new TextEncoder().encode(line));
