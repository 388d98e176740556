import { assertEquals, assertRejects } from "@std/assert";
import { mergeReadableStreams, TextLineStream, toArrayBuffer, toText } from "@std/streams";

const bytes = (...parts: number[][]) =>
  ReadableStream.from(parts.map((part) => new Uint8Array(part)));

Deno.test("toText() joins characters that chunks cut apart", async () => {
  assertEquals(await toText(bytes([0x61, 0xc3], [0xa4, 0x62])), "aäb");
  assertEquals(await toText(ReadableStream.from(["a", "b"])), "ab");
});

Deno.test("toArrayBuffer() joins chunks", async () => {
  assertEquals(
    new Uint8Array(await toArrayBuffer(bytes([1], [], [2, 3]))),
    new Uint8Array([1, 2, 3]),
  );
});

Deno.test("mergeReadableStreams() gives every chunk of every stream", async () => {
  const merged = mergeReadableStreams(ReadableStream.from([1, 2]), ReadableStream.from([3]));
  assertEquals((await Array.fromAsync(merged)).sort(), [1, 2, 3]);
});

Deno.test("mergeReadableStreams() passes an error on", async () => {
  const broken = new ReadableStream({ start: (controller) => controller.error(new Error("gone")) });
  await assertRejects(() => Array.fromAsync(mergeReadableStreams(broken)), Error, "gone");
});

Deno.test("TextLineStream cuts lines wherever the chunks are cut", async () => {
  const text = "a\r\nb\n\nc\rd\n";
  for (const allowCR of [false, true]) {
    const expected = allowCR ? ["a", "b", "", "c", "d"] : ["a", "b", "", "c\rd"];
    for (let at = 0; at <= text.length; at++) {
      const stream = ReadableStream.from([text.slice(0, at), text.slice(at)]);
      const lines = await Array.fromAsync(stream.pipeThrough(new TextLineStream({ allowCR })));
      assertEquals(lines, expected, `cut at ${at}`);
    }
  }
});
