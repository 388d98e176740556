/** Checks results against docs/schemas.json, which says how to read its shapes. */
import { assertEquals } from "@std/assert";
import file from "../../docs/schemas.json" with { type: "json" };

type Shape = string | Shape[] | { [key: string]: Shape };

const schemas: Record<string, Shape> = file.schemas;
const types: Record<string, Shape> = file.types;

/** Where a value differs from its shape. */
export function differences(shape: Shape, value: unknown, at: string): string[] {
  if (typeof shape === "string") {
    const names = shape.split("|");
    const plain = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
    if (names.includes(plain)) return [];
    const named = names.map((name) => types[name]).find((type) => type !== undefined);
    if (named === undefined) return [`${at}: ${plain}, not ${shape}`];
    return differences(named, value, at);
  }
  if (Array.isArray(shape)) {
    if (!Array.isArray(value)) return [`${at}: no array`];
    return value.flatMap((item, i) => differences(shape[0] ?? "", item, `${at}[${i}]`));
  }
  if (typeof value !== "object" || value === null) return [`${at}: no object`];
  const entries: [string, unknown][] = Object.entries(value);
  const any = shape["*"];
  if (any !== undefined) {
    return entries.flatMap(([key, one]) => differences(any, one, `${at}.${key}`));
  }
  const missing = Object.keys(shape).filter((key) => !key.endsWith("?") && !(key in value));
  return [
    ...missing.map((key) => `${at}.${key}: missing`),
    ...entries.flatMap(([key, one]) => {
      const inner = shape[key] ?? shape[`${key}?`];
      return inner === undefined
        ? [`${at}.${key}: not in the schema`]
        : differences(inner, one, `${at}.${key}`);
    }),
  ];
}

/** Asserts that a result has exactly the keys of the schema that it names. */
export function assertSchema(result: { schema: string }): void {
  const { schema, ...rest } = result;
  const shape = schemas[schema.replace("wanstream/", "")];
  assertEquals(shape === undefined ? [`no schema ${schema}`] : differences(shape, rest, "$"), []);
}

/** Asserts the same of a value and a type of the schemas. */
export function assertType(type: string, value: unknown): void {
  assertEquals(differences(types[type] ?? "?", value, type), []);
}
