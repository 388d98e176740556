// out[rows, heads * head_dim] = softmax(q k^T / sqrt(head_dim)) v over the keys that each row sees.
//
// Grid: x: one lane per split of the keys, row, and {{queries}} of the query heads that share a kv head
// (rows next to each other, so that neighbours read the same keys); y: kv heads. Each lane walks its
// keys with a running maximum (online softmax) and never meets another lane.
//   queries   [rows][heads][head_dim] in vec4
//   keys      [slots][kv_heads][head_dim]: vec4 of floats, or of eight halves; values likewise
//   ranks     [slots] in vec4
//   tokens    [rows][8]: {slot, limit, own, ...}
//   span      {used, scratch_start, scratch_end, 0}: the slots that hold keys
//   target    one split: out. More: [rows][heads][splits][head_dim + 4] with maximum and sum at the
//             end, for attention_merge.wgsl

struct Sizes {
  // Rows times lanes per row.
  tiles: u32,
  splits: u32,
  // In vec4 (ranks: elements): where each tensor starts.
  queries: u32,
  keys: u32,
  values: u32,
  ranks: u32,
  tokens: u32,
  span: u32,
  target_start: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> tokens: array<vec4i>;
@group(0) @binding(2) var<storage, read> span: array<vec4i>;
@group(0) @binding(3) var<storage, read_write> results: array<vec4f>;
{{readers}}

fn rank_at(i: u32) -> i32 {
  return rank_texel(i >> 2u)[i & 3u];
}

// Below every score, and above what an unseen key gets: so that such a key weighs nothing.
const lowest = -1e30;
const unseen = -3e38;

@compute @workgroup_size({{lanes}})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let id = group.x * {{lanes}}u + local;
  let split = id / sizes.tiles;
  let tile = id % sizes.tiles;
  let row = tile / {{lanes_per_row}}u;
  let head = group.y * {{group}}u + tile % {{lanes_per_row}}u * {{queries}}u;
  let first = row * {{heads}}u + head;

  let sight = tokens[sizes.tokens + row * 2u].yz;
  let held = vec4u(span[sizes.span]);
  let count = held.x + held.z - held.y;
  let length = (count + sizes.splits - 1u) / sizes.splits;
  let end = select(0u, min(count, (split + 1u) * length), split < sizes.splits);
  let scratch = held.y - held.x;
  var i = split * length;
  // The first key that the row sees. Unseen ones read its memory instead of their own: an empty slot
  // may hold anything, and 0 * NaN is NaN.
  var seen = false;
  while (i < end && !seen) {
    let rank = rank_at(sizes.ranks + select(i + scratch, i, i < held.x));
    seen = rank <= sight.x || rank == sight.y;
    i += u32(!seen);
  }
  let safe = select(i + scratch, i, i < held.x);

{{start}}
  for (; i < end; i++) {
    let slot = select(i + scratch, i, i < held.x);
    let rank = rank_at(sizes.ranks + slot);
    let visible = rank <= sight.x || rank == sight.y;
    let at = select(safe, slot, visible) * {{row_texels}}u + group.y * {{head_texels}}u;
    let key = sizes.keys + at;
    let value = sizes.values + at;
{{step}}
  }
  if (split >= sizes.splits) {
    return;
  }
  let whole = sizes.splits == 1u;
  let stride = {{vectors}}u + u32(!whole);
{{finish}}
}
