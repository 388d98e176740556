/** Deep equality as `@std/assert` means it. */

type Values = Record<PropertyKey, unknown>;

/** Whether two values are deeply equal: same class, same own enumerable properties, symbols too; Sets
 * and Maps in any order; NaN equals NaN and 0 equals -0. The real package doesn't compare
 * the messages of errors; this does. */
export function equal(a: unknown, b: unknown): boolean {
  return compare(a, b, new Map());
}

function compare(a: unknown, b: unknown, seen: Map<unknown, unknown>): boolean {
  if (a === b || Object.is(a, b)) return true;
  if (!isObject(a) || !isObject(b) || !sameClass(a, b)) return false;
  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime());
  if (a instanceof RegExp || a instanceof URL) return String(a) === String(b);
  if (ArrayBuffer.isView(a) && !(a instanceof DataView)) {
    return sameElements(a as Uint8Array, b as Uint8Array);
  }
  // A pair met again inside itself is equal as far as this path can tell.
  if (seen.get(a) === b) return true;
  seen.set(a, b);
  if (a instanceof Set) return sameMembers([...a], [...b as Set<unknown>], seen);
  if (a instanceof Map) return sameMembers([...a], [...b as Map<unknown, unknown>], seen);
  if (a instanceof Error && a.message !== (b as Error).message) return false;
  const keys = ownKeys(a);
  if (keys.length !== ownKeys(b).length) return false;
  if (Array.isArray(a) && a.length !== (b as unknown[]).length) return false;
  const [valuesOfA, valuesOfB] = [a as Values, b as Values];
  return keys.every((key) =>
    Object.hasOwn(b, key) && compare(valuesOfA[key], valuesOfB[key], seen)
  );
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** An object without a prototype counts as a plain one. */
function sameClass(a: object, b: object): boolean {
  const classOf = (value: object) => (Object.getPrototypeOf(value) ?? Object.prototype).constructor;
  return classOf(a) === classOf(b);
}

function ownKeys(value: object): PropertyKey[] {
  const enumerable = Object.prototype.propertyIsEnumerable;
  return Reflect.ownKeys(value).filter((key) => enumerable.call(value, key));
}

function sameElements(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i] && !(Number.isNaN(a[i]) && Number.isNaN(b[i]))) return false;
  }
  return true;
}

/** Every member of `a` finds one of `b` that no other has taken. */
function sameMembers(a: unknown[], b: unknown[], seen: Map<unknown, unknown>): boolean {
  if (a.length !== b.length) return false;
  const left = [...b];
  return a.every((member) => {
    const at = left.findIndex((other) => compare(member, other, new Map(seen)));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}
