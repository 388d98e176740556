import { assert, assertEquals } from "@std/assert";
import { maxHead, readHead } from "../../../io/media/container_head.ts";
import { ffmpegTest, make, picture, tone } from "../media.ts";
import { random } from "../../reference/random.ts";

for (const format of ["nut", "matroska"] as const) {
  ffmpegTest(`readHead() finds what is in ${format}, from any number of bytes`, async () => {
    const kinds = { both: [true, true], picture: [true, false], sound: [false, true] } as const;
    for (const [video, audio] of Object.values(kinds)) {
      const inputs = [...(video ? picture(0.4) : []), ...(audio ? tone(0.4) : [])];
      const bytes = await make(...inputs, "-f", format, "pipe:1");
      const whole = readHead(bytes);
      assert(typeof whole === "object");
      const kinds = whole.tracks.map((track) => `${track.kind} ${track.number}`);
      const expected = [...(video ? ["video 1"] : []), ...(audio ? ["audio 1"] : [])];
      assertEquals([whole.format, kinds], [format, expected]);
      let length = 1;
      while (readHead(bytes.subarray(0, length)) === "more") length++;
      for (let more = length; more < length + 50; more++) {
        assertEquals(readHead(bytes.subarray(0, more)), whole);
      }
      assert(length < 8192, `${length} of ${bytes.length}`);
    }
  });

  ffmpegTest(`readHead() tells the tracks of ${format} apart`, async () => {
    const bytes = await make(
      ...[...picture(0.2), ...tone(0.2), ...tone(0.2), "-map", "0", "-map", "1", "-map", "2"],
      ...["-c:a", "pcm_s16le", "-ac:a:1", "2", "-disposition:a:0", "0"],
      ...["-disposition:a:1", "default", "-f", format, "pipe:1"],
    );
    const head = readHead(bytes);
    assert(typeof head === "object");
    const sound = head.tracks.filter(({ kind }) => kind === "audio");
    assertEquals(
      sound.map(({ number, isDefault, channels }) => [number, isDefault, channels]),
      [[1, false, 1], [2, true, 2]],
    );
  });

  ffmpegTest(`readHead() survives damaged ${format}`, async () => {
    const bytes = await make(...picture(0.2), ...tone(0.2), "-f", format, "pipe:1");
    const next = random(5);
    for (let round = 0; round < 2000; round++) {
      const damaged = bytes.slice(0, 1 + Math.floor(next() * 2000));
      for (let i = 0; i < 3; i++) {
        damaged[Math.floor(next() * damaged.length)] = Math.floor(next() * 256);
      }
      const head = readHead(damaged);
      assert(head === "more" || head === "other" || head.format === format);
    }
  });
}

Deno.test("readHead() refuses other streams, and heads without an end", () => {
  const text = (content: string) => new TextEncoder().encode(content);
  assertEquals(readHead(new Uint8Array()), "other");
  assertEquals(readHead(text("RIFF....WAVE")), "other");
  assertEquals(readHead(text("nut/multimedia")), "more");
  assertEquals(readHead(text("nut/multimedia nonsense")), "other");
  const endless = new Uint8Array(maxHead);
  endless.set([0x1a, 0x45, 0xdf, 0xa3, 1, 255, 255, 255, 255, 255, 255, 254]);
  assertEquals(readHead(endless), "other");
});
