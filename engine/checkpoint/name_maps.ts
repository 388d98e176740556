/**
 * Name maps: how the tensors of other projects' checkpoints are called here. To read another layout,
 * add a table.
 */

/** Patterns of their names and what stands here instead; the first that fits a name renames it. */
export type NameMap = readonly (readonly [theirs: RegExp, ours: string])[];

const nameMaps: Readonly<Record<string, NameMap>> = {
  wanstream: [],
  // Transformers' AutoModel saves a Qwen3 without its language head, and without "model." in names.
  qwen3Model: [[/^(?=embed_tokens\.|layers\.|norm\.)/, "model."]],
};

/** Our name of a tensor. */
export function ownName(name: string, map: NameMap): string {
  const [theirs, ours] = map.find(([pattern]) => pattern.test(name)) ?? [];
  return theirs && ours !== undefined ? name.replace(theirs, ours) : name;
}

/**
 * The map that finds every expected tensor among the stored ones; our own layout where none does, so
 * that messages name what is missing.
 */
export function nameMapFor(stored: readonly string[], expected: Iterable<string>): NameMap {
  const wanted = [...expected];
  const fits = Object.values(nameMaps).find((map) => {
    const found = new Set(stored.map((name) => ownName(name, map)));
    return found.size === stored.length && wanted.every((name) => found.has(name));
  });
  return fits ?? [];
}
