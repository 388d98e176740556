import { assertEquals } from "@std/assert";
import { NutEnd } from "../../../io/media/nut.ts";
import { ffmpegTest, make, picture, tone } from "../media.ts";
import { random } from "../../reference/random.ts";

/** What NutEnd says of bytes that come in pieces of random length. */
function complete(bytes: Uint8Array, next: () => number): boolean {
  const end = new NutEnd();
  for (let at = 0; at < bytes.length;) {
    const length = Math.ceil(next() ** 4 * 5000);
    end.add(bytes.subarray(at, at + length));
    at += length;
  }
  return end.complete;
}

ffmpegTest("NutEnd knows a whole stream from one that was cut", async () => {
  const next = random(2);
  const long = ["-c:v", "mpeg4", "-g", "1", "-c:a", "pcm_s16le", "-f", "nut", "pipe:1"];
  const streams = [
    await make(...picture(2), ...tone(2), ...long),
    // Its index is longer than 4096 bytes.
    await make(...picture(60, "16x16", 50), ...tone(60), ...long),
  ];
  for (const stream of streams) {
    for (let round = 0; round < 5; round++) {
      assertEquals(complete(stream, next), true);
      const cut = stream.length - 1 - Math.floor(next() ** 3 * (stream.length - 1));
      assertEquals(complete(stream.subarray(0, cut), next), false, `cut at ${cut}`);
    }
  }
});
