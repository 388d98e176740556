// out[rows, heads * head_dim] = softmax(q k^T / sqrt(head_dim)) v over the keys that each row sees.
//
// Grid: x: one lane per split of the keys, row, and {{queries}} of the query heads that share a kv head
// (rows next to each other, so that neighbours read the same keys); y: kv heads. Each lane walks its
// keys with a running maximum (online softmax). Where keys are handed round, a workgroup has one split,
// and its subgroups walk it {{keys}} keys at a time: each lane reads one of them, and all lanes get all.
//   token_table [rows][8]: {slot, limit, own, ...}
//   held      {used, noisy_start, noisy_end, 0}: the slots that hold keys
//   results   one split: out. More: [rows][heads][splits][head_dim + 4] with maximum and sum at the
//             end, for attention_merge.wgsl
//   queries   [rows][heads][head_dim] in vec4
//   ranks     [slots] in vec4
//   keys      [slots][kv_heads][head_dim]: vec4 of floats, or of eight halves; values likewise

{{sizes}}
@group(0) @binding(1) var<storage, read> token_table: array<vec4i>;
@group(0) @binding(2) var<storage, read> held: array<vec4i>;
@group(0) @binding(3) var<storage, read_write> results: array<vec4f>;
@group(0) @binding(4) {{query_variable}}
@group(0) @binding(5) {{rank_variable}}
#if texture
@group(0) @binding(6) {{caches}}

{{reader}}
#else
@group(0) @binding(6) var<storage, read> keys: array<{{cache}}>;
@group(0) @binding(7) var<storage, read> values: array<{{cache}}>;
#end

fn texel_at(of_values: bool, i: u32) -> {{cache}} {
#if texture
  return bitcast<{{cache}}>(caches_at(i));
#else
  if (of_values) {
    return values[i];
  }
  return keys[i];
#end
}

// Eight elements of a head.
struct Eight {
  a: vec4f,
  b: vec4f,
}

fn eight_at(of_values: bool, i: u32) -> Eight {
  let texel = texel_at(of_values, i);
#if half
  return Eight(
    vec4f(unpack2x16float(texel.x), unpack2x16float(texel.y)),
    vec4f(unpack2x16float(texel.z), unpack2x16float(texel.w)),
  );
#else
  return Eight(texel, texel_at(of_values, i + 1u));
#end
}

fn rank_at(slot: u32) -> i32 {
  let i = sizes.ranks + slot;
  return ranks[i >> 2u][i & 3u];
}

// Below every score, and above what an unseen key gets: so that such a key weighs nothing.
const lowest = -1e30;
const unseen = -3e38;

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) local: u32,
#if handed
  @builtin(subgroup_invocation_id) lane: u32,
#end
) {
#if handed
  // Lanes past the last tile compute it again and store nothing: every lane hands keys to the others.
  let split = group.x / sizes.groups;
  let place = group.x % sizes.groups * {{lanes}}u + local;
  let tile = min(place, sizes.tiles - 1u);
  let stores = place < sizes.tiles;
#else
  let id = group.x * {{lanes}}u + local;
  let split = id / sizes.tiles;
  let tile = id % sizes.tiles;
  let stores = split < sizes.splits;
#end
  let row = tile / {{lanes_per_row}}u;
  let head = group.y * {{group}}u + tile % {{lanes_per_row}}u * {{queries}}u;
  let first = row * {{heads}}u + head;

  let sight = token_table[sizes.token_table + row * 2u].yz;
  let slots = vec4u(held[sizes.held]);
  let count = slots.x + slots.z - slots.y;
  let length = (count + sizes.splits - 1u) / sizes.splits;
  let end = select(0u, min(count, (split + 1u) * length), split < sizes.splits);
  let gap = slots.y - slots.x;
  var i = split * length;

  // Per query: itself, the weighted sum of values, and the maximum and sum of the weights. exp2 is what
  // the hardware has: the scale holds log2(e).
#for r < queries
  let query$r = sizes.queries + (first + $ru) * {{eights}}u * 2u;
#for e < eights
  let qa$r_$e = queries[query$r + 2u * $eu] * {{scale}};
  let qb$r_$e = queries[query$r + 2u * $eu + 1u] * {{scale}};
  var oa$r_$e = vec4f();
  var ob$r_$e = vec4f();
#end
  var m$r = lowest;
  var l$r = 0.0;
#end
#if handed
  for (; i < end; i += {{keys}}u) {
    let key = min(i + lane % {{keys}}u, end - 1u);
    let slot = select(key + gap, key, key < slots.x);
    let rank = rank_at(slot);
    // Which of the keys a row of the subgroup sees: an empty slot may hold anything, and 0 * NaN is NaN.
    var seen = 0u;
#for j < keys
    let rank$j = subgroupBroadcast(rank, $ju);
    let visible$j = i + $ju < end && (rank$j <= sight.x || rank$j == sight.y);
    seen |= u32(subgroupAny(visible$j)) << $ju;
#end
    let mine = (seen >> lane % {{keys}}u & 1u) == 1u;
    let at = (slot * {{kv_heads}}u + group.y) * {{eights}}u * {{eight_texels}}u;
#for j < keys
#for r < queries
    var s$r_$j = 0.0;
#end
#end
#for e < eights
    let k$e = eight_at(false, sizes.keys + at + $eu * {{eight_texels}}u);
    let ka$e = select(vec4f(), k$e.a, mine);
    let kb$e = select(vec4f(), k$e.b, mine);
#for j < keys
    let ka$e_$j = subgroupBroadcast(ka$e, $ju);
    let kb$e_$j = subgroupBroadcast(kb$e, $ju);
#for r < queries
    s$r_$j += dot(qa$r_$e, ka$e_$j) + dot(qb$r_$e, kb$e_$j);
#end
#end
#end
    // The sums are scaled once for all keys.
#for r < queries
#for j < keys
    let t$r_$j = select(unseen, s$r_$j, visible$j);
#end
    var n$r = m$r;
#for j < keys
    n$r = max(n$r, t$r_$j);
#end
    let f$r = exp2(m$r - n$r);
    m$r = n$r;
#for j < keys
    let p$r_$j = exp2(t$r_$j - n$r);
#end
    l$r = l$r * f$r + ({{sum j < keys: p$r_$j}});
#end
#for e < eights
    let v$e = eight_at(true, sizes.values + at + $eu * {{eight_texels}}u);
    let va$e = select(vec4f(), v$e.a, mine);
    let vb$e = select(vec4f(), v$e.b, mine);
#for j < keys
    let va$e_$j = subgroupBroadcast(va$e, $ju);
    let vb$e_$j = subgroupBroadcast(vb$e, $ju);
#end
#for r < queries
    oa$r_$e = oa$r_$e * f$r + ({{sum j < keys: p$r_$j * va$e_$j}});
    ob$r_$e = ob$r_$e * f$r + ({{sum j < keys: p$r_$j * vb$e_$j}});
#end
#end
  }
#else
  // The first key that the row sees. Unseen ones read its memory instead of their own: an empty slot
  // may hold anything, and 0 * NaN is NaN.
  var seen = false;
  while (i < end && !seen) {
    let rank = rank_at(select(i + gap, i, i < slots.x));
    seen = rank <= sight.x || rank == sight.y;
    i += u32(!seen);
  }
  let safe = select(i + gap, i, i < slots.x);
  for (; i < end; i++) {
    let slot = select(i + gap, i, i < slots.x);
    let rank = rank_at(slot);
    let visible = rank <= sight.x || rank == sight.y;
    let at = (select(safe, slot, visible) * {{kv_heads}}u + group.y) * {{eights}}u * {{eight_texels}}u;
#for e < eights
    let k$e = eight_at(false, sizes.keys + at + $eu * {{eight_texels}}u);
#end
#for r < queries
    let s$r = {{sum e < eights: dot(qa$r_$e, k$e.a) + dot(qb$r_$e, k$e.b)}};
    let t$r = select(unseen, s$r, visible);
    let d$r = t$r - m$r;
    let e$r = exp2(-abs(d$r));
    let f$r = select(1.0, e$r, d$r > 0.0);
    let p$r = select(e$r, 1.0, d$r > 0.0);
    m$r = max(m$r, t$r);
    l$r = l$r * f$r + p$r;
#end
#for e < eights
    let v$e = eight_at(true, sizes.values + at + $eu * {{eight_texels}}u);
#end
#for r < queries
#for e < eights
    oa$r_$e = oa$r_$e * f$r + p$r * v$e.a;
    ob$r_$e = ob$r_$e * f$r + p$r * v$e.b;
#end
#end
  }
#end
  if (!stores) {
    return;
  }
  let whole = sizes.splits == 1u;
  let stride = {{eights}}u * 2u + u32(!whole);
#for r < queries
  let scale$r = select(1.0, select(0.0, 1.0 / l$r, l$r > 0.0), whole);
  let to$r = sizes.results + ((first + $ru) * sizes.splits + split) * stride;
#for e < eights
  results[to$r + 2u * $eu] = oa$r_$e * scale$r;
  results[to$r + 2u * $eu + 1u] = ob$r_$e * scale$r;
#end
  if (!whole) {
    results[to$r + stride - 1u] = vec4f(m$r, l$r, 0.0, 0.0);
  }
#end
}
