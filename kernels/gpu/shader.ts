/** Fills in a kernel's template. */

/**
 * Replaces every `{{name}}` of a WGSL template by its text. Templates are for what overridable
 * constants can't say: storage types, unrolled inner loops (naga's loop checks cost), optional parts.
 *
 * @throws RangeError when a name has no text, or a text no name.
 */
export function fill(template: string, texts: Record<string, string | number>): string {
  const unused = new Set(Object.keys(texts));
  const code = template.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const text = texts[name];
    if (text === undefined) throw new RangeError(`{{${name}}} has no text`);
    unused.delete(name);
    return String(text);
  });
  if (unused.size > 0) throw new RangeError(`no {{${[...unused].join("}}, {{")}}} in the template`);
  return code;
}

/** WGSL for a storage array that is read four elements at a time: its element type, and the
 * expression that turns an element into a vec4f. */
export function vec4Storage(dtype: "f32" | "f16"): { type: string; load: (e: string) => string } {
  return dtype === "f32" ? { type: "vec4f", load: (e) => e } : {
    type: "vec2u",
    load: (e) => `vec4f(unpack2x16float((${e}).x), unpack2x16float((${e}).y))`,
  };
}
