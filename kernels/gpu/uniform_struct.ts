/**
 * Uniform structs: one declaration of named fields renders a struct's WGSL and writes its bytes, so
 * that a kernel's text and its caller can't disagree. (Ratchet's WgslMetadata does the same.)
 */
import type { Gpu } from "./device.ts";

/** Byte size and alignment of the WGSL types that a field may have. */
const layouts = {
  u32: { size: 4, align: 4 },
  i32: { size: 4, align: 4 },
  f32: { size: 4, align: 4 },
  vec2u: { size: 8, align: 8 },
  vec3u: { size: 12, align: 16 },
  vec3i: { size: 12, align: 16 },
  vec4u: { size: 16, align: 16 },
  vec4i: { size: 16, align: 16 },
  vec4f: { size: 16, align: 16 },
} as const;

type FieldType = keyof typeof layouts;

/** Names of fields by type, parted by spaces or new lines: `{ u32: "rows columns", f32: "eps" }`. */
export type Fields = Readonly<Partial<Record<FieldType, string>>>;

type Names<S> = S extends `${infer A}\n${infer B}` ? Names<A> | Names<B>
  : S extends `${infer A} ${infer B}` ? Names<A> | Names<B>
  : S extends "" ? never
  : S;

/** Values by field: a number (true counts as 1) for a scalar, as many numbers as a vector has. */
export type FieldValues<F extends Fields> = {
  readonly [T in keyof F as Names<F[T]> & string]: T extends `vec${string}` ? readonly number[]
    : number | boolean;
};

export class UniformStruct<const F extends Fields> {
  readonly name: string;
  /** WGSL of the struct and of the variable that has it: at binding 0, named as the struct is but in
   * small letters. */
  readonly wgsl: string;
  readonly #fields: { name: string; type: FieldType; offset: number }[] = [];
  readonly #size: number;

  /** @param name Of the struct in WGSL. */
  constructor(name: string, fields: F) {
    this.name = name;
    let at = 0;
    for (const type of Object.keys(fields) as FieldType[]) {
      const { size, align } = layouts[type];
      for (const name of fields[type]?.match(/\w+/g) ?? []) {
        const offset = Math.ceil(at / align) * align;
        this.#fields.push({ name, type, offset });
        at = offset + size;
      }
    }
    this.#size = Math.ceil(at / 16) * 16;
    const lines = this.#fields.map(({ name, type }) => `  ${name}: ${type},`);
    this.wgsl = `struct ${name} {\n${lines.join("\n")}\n}\n\n` +
      `@group(0) @binding(0) var<uniform> ${name.toLowerCase()}: ${name};`;
  }

  /**
   * The struct's bytes as WGSL lays them out, a multiple of 16.
   *
   * @throws RangeError when a value is missing, a vector has another length, or an integer field has a
   * fraction or is out of range.
   */
  bytes(values: FieldValues<F>): ArrayBuffer {
    const bytes = new ArrayBuffer(this.#size);
    for (const { name, type, offset } of this.#fields) {
      const value = (values as Record<string, number | boolean | readonly number[]>)[name];
      const numbers = typeof value === "object" ? value : [Number(value)];
      const count = layouts[type].size / 4;
      const Words = /u/.test(type) ? Uint32Array : /i/.test(type) ? Int32Array : Float32Array;
      const words = new Words(bytes, offset, count);
      words.set(numbers.slice(0, count));
      const kept = type.includes("f") || numbers.every((number, i) => words[i] === number);
      if (value === undefined || numbers.length !== count || !kept) {
        throw new RangeError(`${this.name}.${name}: ${value} is no ${type}`);
      }
    }
    return bytes;
  }

  /** A uniform binding with these values (see `Gpu.constants`). @throws RangeError as `bytes` does. */
  bind(gpu: Gpu, values: FieldValues<F>): GPUBufferBinding {
    return gpu.constants(this.bytes(values));
  }
}
