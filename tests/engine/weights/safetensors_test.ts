import { assertEquals } from "@std/assert";
import { headerLength, parseHeader } from "../../../engine/weights/safetensors.ts";
import { safetensorsHeader, writeSafetensors } from "../../../engine/weights/safetensors_writer.ts";
import { assertInputError } from "../tiny_checkpoint.ts";

/** Parses a header given as text or value, in a file with `data` bytes after it. */
function parse(header: unknown, data: number) {
  const text = typeof header === "string" ? header : JSON.stringify(header);
  const bytes = new TextEncoder().encode(text);
  return parseHeader(bytes, 8 + bytes.length + data, "m.safetensors");
}

function prefix(length: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, length, true);
  return bytes;
}

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

Deno.test("headerLength() refuses lengths that the file can't hold", async () => {
  assertEquals(headerLength(prefix(90n), 100, "m"), 90);
  await assertInputError(() => headerLength(new Uint8Array(0), 0, "m"), "m: 0 bytes are too few");
  await assertInputError(() => headerLength(prefix(93n), 100, "m"), "93 bytes", "2 to 92");
  await assertInputError(() => headerLength(prefix(0n), 100, "m"), "header length is 0");
  await assertInputError(
    () => headerLength(prefix(2n ** 64n - 1n), 100, "m"),
    "18446744073709551615",
  );
  // Even a file that is large enough may not have a header of gigabytes.
  await assertInputError(() => headerLength(prefix(5_000_000_000n), 1e10, "m"), "100000000");
});

Deno.test("parseHeader() reads tensors in any order, metadata and empty tensors", () => {
  const entries = parse({
    __metadata__: { format: "pt" },
    b: f32(8, 24, [2, 2]),
    a: { dtype: "BF16", shape: [4], data_offsets: [0, 8] },
    none: f32(24, 24, [0, 3]),
  }, 16 + 8);
  assertEquals([...entries.keys()], ["b", "a", "none"]);
  const b = entries.get("b");
  assertEquals(b?.shape, [2, 2]);
  assertEquals((b?.end ?? 0) - (b?.begin ?? 0), 16);
});

Deno.test("parseHeader() refuses hostile headers, naming file and tensor", async () => {
  const cases: [unknown, number, string][] = [
    ["{not json", 0, "isn't valid JSON"],
    ["\xff\xfe{}", 0, "isn't valid JSON"],
    ["[".repeat(100_000), 0, "isn't valid JSON"],
    ["[1]", 0, "must be a JSON object"],
    ["null", 0, "must be a JSON object"],
    [{ w: 3 }, 0, 'tensor "w" has the entry 3'],
    [{ w: null }, 0, 'tensor "w" has the entry null'],
    [{ w: { ...f32(0, 4), dtype: "F33" } }, 4, 'dtype "F33"; it may be F32, F16, BF16'],
    [{ w: { ...f32(0, 4), dtype: "constructor" } }, 4, 'dtype "constructor"'],
    [{ w: { shape: [1], data_offsets: [0, 4] } }, 4, "dtype missing"],
    [{ w: f32(0, 4, [-1]) }, 4, "shape [-1]"],
    [{ w: f32(0, 4, [0.5]) }, 4, "shape [0.5]"],
    [{ w: { ...f32(0, 4), shape: "1" } }, 4, 'shape "1"'],
    [{ w: f32(0, 4, [1, 1, 1, 1, 1, 1, 1, 1, 1]) }, 4, "up to 8 whole numbers"],
    [{ w: { ...f32(0, 4), data_offsets: [0] } }, 4, "data_offsets [0]"],
    [
      { w: { ...f32(0, 4), data_offsets: [0, 2 ** 60] } },
      4,
      "they must be two whole numbers",
    ],
    [{ w: { ...f32(0, 4), data_offsets: [-4, 0] } }, 4, "data_offsets [-4,0]"],
    [{ w: { ...f32(0, 4), data_offsets: [4, 0] } }, 4, "must rise"],
    [{ w: f32(0, 8) }, 4, "end by 4"],
    [{ w: f32(0, 8, [3]) }, 8, "takes 12 bytes, not 8"],
    // A product that overflows must not come round to the right number of bytes.
    [{ w: f32(0, 0, [2 ** 52, 2 ** 52]) }, 0, "not 0"],
    [{ a: f32(0, 8), b: f32(4, 12) }, 12, 'tensor "b" overlaps tensor "a"'],
    [{ a: f32(0, 8), b: f32(0, 8) }, 8, "overlaps"],
    [{ a: f32(0, 4), b: f32(8, 12) }, 12, 'tensor "b" leaves a hole of 4 bytes after tensor "a"'],
    [{ a: f32(4, 8) }, 8, "after the header"],
    [{ a: f32(0, 4) }, 8, "4 bytes follow"],
    [{}, 8, "8 bytes follow the header"],
  ];
  for (const [header, data, why] of cases) {
    await assertInputError(() => parse(header, data), "m.safetensors", why);
  }
});

Deno.test("parseHeader() refuses a header that is no UTF-8", async () => {
  const bytes = Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
  await assertInputError(() => parseHeader(bytes, 15, "m"), "m: the safetensors header");
});

Deno.test("parseHeader() keeps hostile names on one line and short", async () => {
  const name = "\n\u001b[31m" + "x".repeat(10_000);
  await assertInputError(() => parse({ [name]: 1 }, 0), '"\\n\\u001b[31mxxx', "...");
  assertEquals(parse('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4).size, 1);
});

Deno.test("writeSafetensors() writes what parseHeader() reads, tensors at multiples of 8", async () => {
  const specs = [
    { name: "a", dtype: "F16" as const, shape: [3] },
    { name: "b.c", dtype: "F32" as const, shape: [2, 1] },
  ];
  const written: number[] = [];
  const sink = {
    write: (bytes: Uint8Array) => Promise.resolve(void written.push(...bytes)),
  };
  const data = async function* ({ name }: { name: string }) {
    if (name === "a") yield await Promise.resolve(Uint8Array.from([1, 2, 3, 4, 5, 6]));
    else for (let i = 0; i < 8; i++) yield Uint8Array.from([10 + i]);
  };
  await writeSafetensors(specs, data, sink);
  const file = Uint8Array.from(written);
  const length = headerLength(file.subarray(0, 8), file.length, "m");
  assertEquals(length % 8, 0);
  const entries = parseHeader(file.slice(8, 8 + length), file.length, "m");
  const a = entries.get("a");
  const c = entries.get("b.c");
  assertEquals([...file.subarray(a?.begin, a?.end)], [1, 2, 3, 4, 5, 6]);
  assertEquals([...file.subarray(c?.begin, c?.end)], [10, 11, 12, 13, 14, 15, 16, 17]);
  assertEquals(safetensorsHeader(specs).length, 8 + length);
});

Deno.test("writeSafetensors() refuses data of another length than the tensor's", async () => {
  const specs = [{ name: "a", dtype: "F32" as const, shape: [2] }];
  for (const bytes of [4, 12]) {
    let thrown: unknown;
    const data = async function* () {
      yield await Promise.resolve(new Uint8Array(bytes));
    };
    try {
      await writeSafetensors(specs, data, { write: () => Promise.resolve() });
    } catch (error) {
      thrown = error;
    }
    assertEquals(thrown instanceof RangeError, true);
  }
});
