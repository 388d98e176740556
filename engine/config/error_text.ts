/** What kind of thing a value is, e.g. "Object", "Promise", "Float32Array", of any realm. */
export function kindOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

/** A value as it may stand in a one-line message: JSON, cut short, without control characters. What JSON
 * doesn't hold is named by its kind. */
export function valueText(value: unknown): string {
  if (value === undefined) return "missing";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  const kind = kindOf(value);
  const article = /^[AEIO]/.test(kind) ? "an" : "a";
  if (kind.endsWith("Array") && ArrayBuffer.isView(value)) {
    return `${article} ${kind} of ${(value as Uint8Array).length}`;
  }
  if (!/^(Object|Array|String|Boolean|Null)$/.test(kind)) return `${article} ${kind}`;
  let text: string;
  try {
    text = JSON.stringify(value);
  } catch {
    text = `${article} ${kind}`;
  }
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** What an error says, as it may stand in a one-line message. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/[\s\p{Cc}]+/gu, " ").slice(0, 200);
}
