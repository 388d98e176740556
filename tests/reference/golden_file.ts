/** Reads the arrays of `tests/data/`. */
import { headerLength, parseHeader } from "../../engine/weights/safetensors.ts";

export interface Golden {
  shape: number[];
  data: Float32Array | Int32Array | Uint8Array;
}

/** The arrays of a safetensors file under `tests/data/`, by name; bf16 comes as f32. */
export async function readGoldens(name: string): Promise<Map<string, Golden>> {
  const bytes = await Deno.readFile(new URL(`../data/${name}`, import.meta.url));
  const header = headerLength(bytes.subarray(0, 8), bytes.length, name);
  const entries = parseHeader(bytes.slice(8, 8 + header), bytes.length, name);
  const goldens = new Map<string, Golden>();
  for (const [key, { dtype, shape, begin, end }] of entries) {
    goldens.set(key, { shape, data: numbers(dtype, bytes.slice(begin, end).buffer) });
  }
  return goldens;
}

function numbers(dtype: string, buffer: ArrayBuffer): Golden["data"] {
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "I32":
      return new Int32Array(buffer);
    case "U8":
      return new Uint8Array(buffer);
    case "BF16":
      return new Float32Array(
        Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer,
      );
    default:
      throw new Error(`goldens have no ${dtype}`);
  }
}

/** An array that must be there. */
export function golden(goldens: Map<string, Golden>, name: string): Golden {
  const found = goldens.get(name);
  if (!found) throw new Error(`no golden ${name}`);
  return found;
}
