/**
 * Files of checkpoints: JSON and bytes, read with limits. No other file of the engine opens any.
 */
import { InputError } from "../config/errors.ts";
import { errorText } from "../config/error_text.ts";

/** @throws InputError when that can't be told. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    // A path below a file, which is no folder, is nowhere either.
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return false;
    throw unreadable(path, error);
  }
}

/** Size of a regular file (a pipe or device would never end). */
export async function fileSize(path: string): Promise<number> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  if (!info.isFile) {
    throw new InputError(`${path}: isn't a regular file; give a checkpoint's folder`);
  }
  return info.size;
}

function unreadable(path: string, error: unknown): InputError {
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
    return new InputError(
      `${path}: no such file; give the folder of a checkpoint, or make one with 'init'`,
    );
  }
  return new InputError(`${path}: can't be read (${errorText(error)}); check its permissions`);
}

/** Opens a file to read. @throws InputError */
export async function openFile(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** True for a regular file; false for a folder, and where nothing is. */
export async function isFile(path: string): Promise<boolean> {
  return await exists(path) && (await Deno.stat(path)).isFile;
}

const pickle = "a PyTorch pickle (.pth, .bin), which can run code and isn't supported";
const convert =
  "take the model's safetensors, or convert it in Python with safetensors.torch.save_file";

/** Formats of weights that aren't read, by how their files begin, and where the same weights are. */
const otherFormats: readonly (readonly [start: string, format: string, remedy: string])[] = [
  ["version ", "a Git LFS pointer, not the file", "run 'git lfs pull' in its repository"],
  ["GGUF", "a GGUF file, which isn't supported", "take the safetensors that it was made of"],
  [
    "PK\x03\x04",
    pickle,
    convert,
  ],
  // As PyTorch wrote it before 1.6.
  ["\x80\x02\x8a\n", pickle, convert],
  ["\x93NUMPY", "a NumPy file, which isn't supported", "convert it to safetensors"],
];

/** Refuses other formats by a file's first bytes. @throws InputError */
export function refuseOthers(start: string, path: string): void {
  const [, format, remedy] = otherFormats.find(([begin]) => start.startsWith(begin)) ?? [];
  if (format !== undefined) throw new InputError(`${path}: is ${format}: ${remedy}`);
}

/** The same of a file. @throws InputError */
export async function refuseOtherFile(path: string): Promise<void> {
  using file = await openFile(path);
  const bytes = new Uint8Array(8);
  const count = await file.read(bytes);
  refuseOthers(String.fromCharCode(...bytes.subarray(0, count ?? 0)), path);
}

/** The same of a folder's files. @throws InputError */
export async function refuseOthersIn(folder: string): Promise<void> {
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile && /\.(gguf|bin|pth?|ckpt)$/.test(name)) await refuseOtherFile(`${folder}/${name}`);
  }
}

/** A file's text; null: there is none. @throws InputError when it is longer than `maxBytes`. */
export async function readTextIfThere(path: string, maxBytes: number): Promise<string | null> {
  if (!await isFile(path)) return null;
  const size = await fileSize(path);
  if (size > maxBytes) {
    throw new InputError(`${path}: has ${size} bytes; it may have up to ${maxBytes}`);
  }
  return (await Deno.readTextFile(path)).replace(/^\uFEFF/, "");
}

/** Reads a file of JSON, by default of up to 1 MiB. @throws InputError */
export async function readJson(path: string, maxBytes = 1 << 20): Promise<unknown> {
  const size = await fileSize(path);
  if (size > maxBytes) {
    throw new InputError(`${path}: has ${size} bytes; it may have up to ${maxBytes}`);
  }
  let text: string;
  try {
    // A byte-order mark, which some editors write, is read over.
    text = (await Deno.readTextFile(path)).replace(/^\uFEFF/, "");
  } catch (error) {
    throw unreadable(path, error);
  }
  refuseOthers(text, path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(
      `${path}: isn't valid JSON (${errorText(error)}); download or write it again`,
    );
  }
}

/** Fills `into` from a file. @throws InputError when it ends early. */
export async function readFully(
  file: Deno.FsFile,
  position: number,
  into: Uint8Array,
  path: string,
): Promise<void> {
  await file.seek(position, Deno.SeekMode.Start);
  for (let at = 0; at < into.length;) {
    const count = await file.read(into.subarray(at));
    if (count === null) {
      throw new InputError(
        `${path}: ends at byte ${position + at}, ${into.length - at} too early; download it again`,
      );
    }
    at += count;
  }
}
