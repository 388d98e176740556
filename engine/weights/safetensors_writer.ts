/** Writes the safetensors format tensor by tensor, so that no model has to fit in memory. */
import { allDtypeBytes, type FileDtype, headerBytes } from "./safetensors.ts";
import { elements } from "../../kernels/gpu/tensor.ts";

export interface TensorSpec {
  name: string;
  dtype: FileDtype;
  shape: readonly number[];
}

/** Where the bytes go; a `Deno.FsFile`'s writer fits. */
export interface ByteSink {
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

/**
 * Writes header and tensors, in the order given.
 *
 * @param data A tensor's bytes in any number of chunks.
 * @throws RangeError when `data` gives more or fewer bytes than the tensor has.
 */
export async function writeSafetensors(
  specs: readonly TensorSpec[],
  data: (spec: TensorSpec) => AsyncIterable<Uint8Array<ArrayBuffer>>,
  sink: ByteSink,
): Promise<void> {
  await sink.write(safetensorsHeader(specs));
  for (const spec of specs) {
    const length = byteLength(spec);
    let written = 0;
    for await (const chunk of data(spec)) {
      written += chunk.length;
      if (written > length) break;
      await sink.write(chunk);
    }
    if (written !== length) {
      throw new RangeError(`tensor ${spec.name} takes ${length} bytes, not ${written}`);
    }
  }
}

/**
 * The 8-byte length and the JSON header, padded with spaces so that tensors start at 8 bytes.
 *
 * @param metadata More texts by name.
 */
export function safetensorsHeader(
  specs: readonly TensorSpec[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = { __metadata__: { format: "pt", ...metadata } };
  let at = 0;
  for (const spec of specs) {
    const end = at + byteLength(spec);
    header[spec.name] = { dtype: spec.dtype, shape: spec.shape, data_offsets: [at, end] };
    at = end;
  }
  const json = JSON.stringify(header);
  const { length } = new TextEncoder().encode(json);
  return headerBytes(json + " ".repeat(-length & 7));
}

function byteLength({ dtype, shape }: TensorSpec): number {
  return elements(shape) * (allDtypeBytes[dtype] ?? 0);
}
