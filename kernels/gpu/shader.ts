/** Fills in a kernel's template: WGSL with a few lines and words that are decided before compiling. */

/** What a template may name: text, a number, a flag, or a uniform struct. */
export type Texts = Readonly<Record<string, string | number | boolean | { readonly wgsl: string }>>;

type Node =
  | string
  | { letter: string; count: string; body: Node[] }
  | { flag: string; negated: boolean; body: Node[]; otherwise: Node[] };

/**
 * Fills in a WGSL template. Templates are for what overridable constants can't say: storage types,
 * unrolled inner loops (naga's loop checks cost), optional parts.
 *
 *   {{name}}                     the text of that name
 *   {{sum j < n: f($j)}}         f(0) + f(1) + ...; `list` in place of `sum` puts commas
 *   #for r < n ... #end          these lines n times; $r in them is the number: `a$r`, `$ru`
 *   #if flag ... #else ... #end  these lines where the flag is set (#if !flag: where it isn't)
 *   #items i < count ... #end    `main`, which runs these lines for every item, one invocation each in
 *                                workgroups of `lanes`, on the grid that `dispatch` makes for them
 *
 * n is a name or a number; r is one letter; count is an expression.
 *
 * @throws RangeError when the template names what has no text, when a text has no name in it, or when
 * a block isn't closed.
 */
export function fill(template: string, texts: Texts): string {
  const key = JSON.stringify([template, texts]);
  let text = filled.get(key);
  if (text === undefined) filled.set(key, text = fillAnew(template, texts));
  return text;
}

/** Invocations of a workgroup where the template isn't told `lanes`. */
export const defaultLanes = 64;

/** What was filled in before: the layers of a model ask for the same texts again and again. */
const filled = new Map<string, string>();

function fillAnew(template: string, texts: Texts): string {
  const names = new Set<string>();
  const valueOf = (name: string) => {
    const text = name === "lanes" ? texts[name] ?? defaultLanes : texts[name];
    if (text === undefined) throw new RangeError(`{{${name}}} has no text`);
    return typeof text === "object" ? text.wgsl : text;
  };
  const counted = <T>(count: string, make: (i: number) => T): T[] =>
    Array.from({ length: Number(/^\d+$/.test(count) ? count : valueOf(count)) }, (_, i) => make(i));
  const put = (text: string, letter: string, i: number) => text.replaceAll(`$${letter}`, String(i));
  const render = (node: Node): string[] => {
    if (typeof node === "string") return [node];
    if ("flag" in node) {
      return (Boolean(valueOf(node.flag)) !== node.negated ? node.body : node.otherwise)
        .flatMap(render);
    }
    const lines = node.body.flatMap(render);
    return counted(node.count, (i) => lines.map((line) => put(line, node.letter, i))).flat();
  };
  const lines = template.split("\n").reverse();
  for (const [, name = ""] of template.matchAll(/(?:\{\{|#if !?| < )([a-z]\w*)(?=\}\}|:|\n)/g)) {
    names.add(name);
  }
  if (/^#items /m.test(template)) names.add("lanes");
  const unused = Object.keys(texts).filter((name) => !names.has(name));
  if (unused.length > 0) throw new RangeError(`no {{${unused.join("}}, {{")}}} in the template`);
  const nodes = parse(lines);
  if (lines.length > 0) throw new RangeError("#else or #end without a block");
  return nodes.flatMap(render).join("\n")
    .replace(
      /\{\{(sum|list) (\w) < (\w+): (.*?)\}\}/g,
      (_, way: string, letter: string, count: string, text: string) =>
        counted(count, (i) => put(text, letter, i)).join(way === "sum" ? " + " : ", "),
    )
    .replace(/\{\{(\w+)\}\}/g, (_, name: string) => String(valueOf(name)));
}

/** Takes lines from the end of the list, up to the end of the block that they stand in. */
function parse(lines: string[]): Node[] {
  const nodes: Node[] = [];
  const end = () => {
    if (lines.pop()?.trim() !== "#end") throw new RangeError("a block of the template has no #end");
  };
  for (let line = lines.at(-1); line !== undefined; line = lines.at(-1)) {
    if (/^\s*#(else|end)$/.test(line)) break;
    lines.pop();
    const [, letter, count = ""] = line.match(/^\s*#for (\w) < (\w+)$/) ?? [];
    const [, not, flag] = line.match(/^\s*#if (!?)(\w+)$/) ?? [];
    const [, item, items] = line.match(/^#items (\w+) < (.+)$/) ?? [];
    if (item) {
      nodes.push(
        "@compute @workgroup_size({{lanes}})",
        "fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {",
        `  let ${item} = id.y * groups.x * {{lanes}}u + id.x;`,
        `  if (${item} >= ${items}) {`,
        "    return;",
        "  }",
        ...parse(lines),
        "}",
      );
      end();
    } else if (letter) {
      nodes.push({ letter, count, body: parse(lines) });
      end();
    } else if (flag) {
      const body = parse(lines);
      const hasElse = lines.at(-1)?.trim() === "#else";
      if (hasElse) lines.pop();
      nodes.push({ flag, negated: not === "!", body, otherwise: hasElse ? parse(lines) : [] });
      end();
    } else if (/^\s*#/.test(line)) {
      throw new RangeError(`the template has no such line: ${line}`);
    } else nodes.push(line);
  }
  return nodes;
}
