/**
 * The safetensors format: an 8-byte little-endian header length, a JSON header (tensor name to
 * dtype, shape and byte range), the tensors' bytes back to back.
 *
 * A file may be damaged or hostile, so every number is checked before it is used. The readers on npm
 * don't check enough: `safetensors` has one release, `@huggingface/hub` reads headers over HTTP and
 * doesn't look at the offsets.
 */
import { InputError } from "../config/errors.ts";
import { valueText } from "../config/error_text.ts";

/** Storage types of weights. */
export type FileDtype = "F32" | "F16" | "BF16";

/** Their bytes per element. */
export const dtypeBytes = { F32: 4, F16: 2, BF16: 2 } as const satisfies Record<FileDtype, number>;

/** Bytes per element of every dtype that a safetensors header may name. */
export const allDtypeBytes: Readonly<Record<string, number>> = {
  ...{ BOOL: 1, U8: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1, F8_E8M0: 1 },
  ...{ I16: 2, U16: 2, F16: 2, BF16: 2, I32: 4, U32: 4, F32: 4, I64: 8, U64: 8, F64: 8 },
};

/** The reference implementation's limit on a header. */
export const maxHeaderBytes = 100_000_000;

/** A tensor's entry in the header; `begin` and `end` count from the start of the file. */
export interface TensorEntry {
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

const remedy = "download or convert the file again";

/**
 * The length of the header, from a file's first 8 bytes.
 *
 * @throws InputError when the file can't hold such a header.
 */
export function headerLength(prefix: Uint8Array, fileBytes: number, file: string): number {
  if (fileBytes < 8 || prefix.length < 8) {
    throw new InputError(
      `${file}: ${fileBytes} bytes are too few for a safetensors file (at least 10); ${remedy}`,
    );
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  const limit = Math.min(maxHeaderBytes, fileBytes - 8);
  if (length < 2n || length > BigInt(limit)) {
    throw new InputError(
      `${file}: header length is ${length} bytes; in a file of ${fileBytes} bytes it may be 2 to ` +
        `${limit}, so the file is cut off or no safetensors file; ${remedy}`,
    );
  }
  return Number(length);
}

/** A header as it begins a file: its length, and its JSON text. */
export function headerBytes(text: string): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + json.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

/**
 * Parses a header and checks every tensor: shape and dtype account for its bytes, and the tensors
 * fill the rest of the file without overlap or hole.
 *
 * @param header The header's bytes, without the length before them.
 * @throws InputError that names the file, the tensor and what is wrong with it.
 */
export function parseHeader(
  header: Uint8Array<ArrayBuffer>,
  fileBytes: number,
  file: string,
): Map<string, TensorEntry> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch {
    throw new InputError(`${file}: the safetensors header isn't valid JSON; ${remedy}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new InputError(`${file}: the safetensors header must be a JSON object; ${remedy}`);
  }
  const start = 8 + header.length;
  const entries = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(json)) {
    if (name !== "__metadata__") entries.set(name, parseEntry(name, value, start, fileBytes, file));
  }
  checkCover(entries, start, fileBytes, file);
  return entries;
}

function parseEntry(
  name: string,
  value: unknown,
  start: number,
  fileBytes: number,
  file: string,
): TensorEntry {
  const bad = (key: string, had: unknown, may: string) =>
    new InputError(
      `${file}: tensor ${valueText(name)} has ${key} ${valueText(had)}; ${may}; ${remedy}`,
    );
  if (typeof value !== "object" || value === null) {
    throw bad("the entry", value, "it must be an object with dtype, shape and data_offsets");
  }
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  if (typeof dtype !== "string" || !Object.hasOwn(allDtypeBytes, dtype)) {
    throw bad("dtype", dtype, `it may be ${Object.keys(dtypeBytes).join(", ")}`);
  }
  if (!isCounts(shape) || shape.length > 8) {
    throw bad("shape", shape, "it must be up to 8 whole numbers, 0 or more");
  }
  const dataBytes = fileBytes - start;
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw bad("data_offsets", offsets, "they must be two whole numbers, begin and end");
  }
  const [begin = 0, end = 0] = offsets;
  if (begin > end || end > dataBytes) {
    throw bad("data_offsets", offsets, `they must rise and end by ${dataBytes}, the file's end`);
  }
  let bytes = allDtypeBytes[dtype] ?? 0;
  for (const n of shape) bytes *= n;
  if (bytes !== end - begin) {
    throw bad(
      "data_offsets",
      offsets,
      `shape ${valueText(shape)} of ${dtype} takes ${bytes} bytes, not ${end - begin}`,
    );
  }
  return { dtype, shape, begin: start + begin, end: start + end };
}

/** Checks that the tensors fill the file: no two overlap, and no bytes lie between or after them. */
function checkCover(
  entries: Map<string, TensorEntry>,
  start: number,
  fileBytes: number,
  file: string,
): void {
  let at = start;
  let last = "the header";
  const inOrder = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  for (const [name, { begin, end }] of inOrder) {
    if (begin !== at) {
      const how = begin < at ? "overlaps" : `leaves a hole of ${begin - at} bytes after`;
      throw new InputError(
        `${file}: tensor ${valueText(name)} ${how} ${last} in data_offsets ` +
          `[${begin - start},${end - start}]; it must begin at ${at - start}; ${remedy}`,
      );
    }
    at = end;
    last = `tensor ${valueText(name)}`;
  }
  if (at !== fileBytes) {
    throw new InputError(
      `${file}: ${fileBytes - at} bytes follow ${last}, which no tensor owns; ${remedy}`,
    );
  }
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
