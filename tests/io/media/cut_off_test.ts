import { assertEquals } from "@std/assert";
import { cutOff } from "../../../io/media/cut_off.ts";
import { folderTest } from "../media.ts";

const ascii = (text: string) => [...new TextEncoder().encode(text)];
const big = (value: number, length: number) =>
  Array.from({ length }, (_, i) => Math.floor(value / 256 ** (length - 1 - i)) % 256);
const little = (value: number) => big(value, 4).reverse();
const zeros = (length: number) => Array<number>(length).fill(0);

/** A Matroska segment of 500 bytes, its length (and the header's) written in so many bytes. */
function matroska(lengthBytes: number, segment?: number[]): number[] {
  const length = (of: number) => {
    const bytes = big(of, lengthBytes);
    bytes[0] = (bytes[0] ?? 0) | (2 ** (8 - lengthBytes));
    return bytes;
  };
  return [
    ...[0x1a, 0x45, 0xdf, 0xa3, ...length(35), ...zeros(35)],
    ...[0x18, 0x53, 0x80, 0x67, ...(segment ?? length(500)), ...zeros(500)],
  ];
}

/** An Ogg page with two segments of 255 and 45 bytes. */
const oggPage = (flags: number) => [
  ...[...ascii("OggS"), 0, flags, ...zeros(20), 2, 255, 45],
  ...zeros(300),
];

/** Files that are whole, and how many bytes cut from their end must be noticed. */
const files: Record<string, { bytes: number[]; cuts: number[] }> = {
  "RIFF": {
    bytes: [...ascii("RIFF"), ...little(104), ...ascii("WAVE"), ...zeros(100)],
    cuts: [1, 50],
  },
  "RIFF with an odd length": {
    bytes: [...ascii("RIFF"), ...little(105), ...ascii("WAVE"), ...zeros(102)],
    cuts: [2, 50],
  },
  "RIFF in two parts (OpenDML)": {
    bytes: [
      ...[...ascii("RIFF"), ...little(104), ...ascii("AVI "), ...zeros(100)],
      ...[...ascii("RIFF"), ...little(54), ...ascii("AVIX"), ...zeros(50)],
    ],
    cuts: [1, 50, 63, 100],
  },
  "RIFF whose writer couldn't seek": {
    bytes: [...ascii("RIFF"), ...little(0xffffffff), ...ascii("WAVE"), ...zeros(100)],
    cuts: [],
  },
  "AIFF": {
    bytes: [...ascii("FORM"), ...big(104, 4), ...ascii("AIFF"), ...zeros(100)],
    cuts: [1, 90],
  },
  "MP4": {
    bytes: [
      ...[
        ...big(16, 4),
        ...ascii("ftyp"),
        ...zeros(8),
        ...big(40, 4),
        ...ascii("moov"),
        ...zeros(32),
      ],
      ...[...big(1, 4), ...ascii("mdat"), ...big(116, 8), ...zeros(100)],
    ],
    cuts: [1, 99, 110],
  },
  "MP4 whose mdat goes on to the end": {
    bytes: [
      ...big(16, 4),
      ...ascii("ftyp"),
      ...zeros(8),
      ...big(0, 4),
      ...ascii("mdat"),
      ...zeros(50),
    ],
    cuts: [],
  },
  "Matroska, lengths of 2 bytes": { bytes: matroska(2), cuts: [17, 400] },
  "Matroska, lengths of 8 bytes": { bytes: matroska(8), cuts: [17, 400] },
  "Matroska of unknown length": { bytes: matroska(8, [1, ...Array(7).fill(255)]), cuts: [] },
  "Matroska that counts a few bytes too many": { bytes: matroska(8).slice(0, -7), cuts: [30] },
  "Ogg": { bytes: [...oggPage(2), ...oggPage(4)], cuts: [1, 290, 310, 328, 400] },
  "MPEG transport stream": {
    bytes: Array(5).fill([0x47, ...zeros(187)]).flat(),
    cuts: [1, 100, 187, 189],
  },
  "anything else": { bytes: [...ascii("fLaC"), ...zeros(5000)], cuts: [] },
};

for (const [name, { bytes, cuts }] of Object.entries(files)) {
  folderTest(`cutOff() tells whether the end is missing: ${name}`, async (folder) => {
    const check = async (length: number) => {
      await Deno.writeFile(`${folder}/file`, Uint8Array.from(bytes.slice(0, length)));
      return await cutOff(`${folder}/file`);
    };
    assertEquals(await check(bytes.length), null);
    for (const cut of cuts) {
      assertEquals(typeof await check(bytes.length - cut), "string", `${cut} bytes cut off`);
    }
    // However little is left, it is looked at without an error.
    for (const length of [1, 4, 7, 12, 27]) await check(length);
  });
}
