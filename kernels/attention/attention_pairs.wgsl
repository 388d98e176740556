// softmax(q k^T / sqrt(head_dim)) v over the keys that each row sees, by pairs of a row and a head (see
// attention_pairs.ts).
//
// Grid: x: tiles of {{lanes}} x {{queries}} pairs that share a kv head, for each split of the keys; y: kv heads. A
// workgroup is one subgroup. It walks the keys of its split four at a time: its lanes read them together, and
// each lane gets all of them for its {{queries}} pairs (online softmax, scaled once for the four).
//   token_table [rows][8]: {slot, limit, own, ...}
//   held      {used, noisy_start, noisy_end, 0}: the slots that hold keys
//   results   as attention.wgsl gives them
//   queries   [rows][heads][head_dim] in vec4, in tiles of rows with a stride of their own
//   ranks     [slots] in vec4
//   keys      [slots][kv_heads][head_dim / 8] eights of floats (wide: in pairs to a word), or of halves;
//             values likewise

{{sizes}}
@group(0) @binding(1) var<storage, read> token_table: array<vec4i>;
@group(0) @binding(2) var<storage, read> held: array<vec4i>;
@group(0) @binding(3) var<storage, read_write> results: array<vec4f>;
@group(0) @binding(4) var<storage, read> queries: array<vec4f>;
@group(0) @binding(5) {{rank_variable}}
@group(0) @binding(6) var<storage, read> keys: array<{{cache}}>;
@group(0) @binding(7) var<storage, read> values: array<{{cache}}>;

// Eight elements of a head.
struct Eight {
  a: vec4f,
  b: vec4f,
}

#if wide
fn floats(low: u64, high: u64) -> vec4f {
  return bitcast<vec4f>(vec4u(
    u32(low & 0xfffffffflu), u32(low >> 32u), u32(high & 0xfffffffflu), u32(high >> 32u)
  ));
}

#end
fn key_at(i: u32) -> Eight {
#if wide
  let word = keys[i];
  return Eight(floats(word.x, word.y), floats(word.z, word.w));
#else
#if half
  let word = keys[i];
  return Eight(
    vec4f(unpack2x16float(word.x), unpack2x16float(word.y)),
    vec4f(unpack2x16float(word.z), unpack2x16float(word.w)),
  );
#else
  return Eight(keys[2u * i], keys[2u * i + 1u]);
#end
#end
}

fn value_at(i: u32) -> Eight {
#if wide
  let word = values[i];
  return Eight(floats(word.x, word.y), floats(word.z, word.w));
#else
#if half
  let word = values[i];
  return Eight(
    vec4f(unpack2x16float(word.x), unpack2x16float(word.y)),
    vec4f(unpack2x16float(word.z), unpack2x16float(word.w)),
  );
#else
  return Eight(values[2u * i], values[2u * i + 1u]);
#end
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
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let split = group.x / sizes.tiles;
  let first_pair = group.x % sizes.tiles * {{lanes}}u * {{queries}}u + lane;
  let slots = vec4u(held[sizes.held]);
  let count = slots.x + slots.z - slots.y;
  let length = (count + sizes.splits - 1u) / sizes.splits;
  let end = min(count, (split + 1u) * length);
  let gap = slots.y - slots.x;

  // Pairs past the last take it again and store nothing: every lane hands keys to the others. exp2 is what the
  // hardware has: the scale holds log2(e).
#for r < queries
  let pair$r = min(first_pair + $ru * {{lanes}}u, sizes.pairs - 1u);
  let row$r = sizes.first_row + pair$r / {{group}}u;
  let head$r = group.y * {{group}}u + pair$r % {{group}}u;
  let query$r = sizes.queries + row$r / sizes.tile_rows * sizes.tile_stride +
    row$r % sizes.tile_rows * sizes.row_stride + head$r * {{eights}}u * 2u;
  let sight$r = token_table[sizes.token_table + row$r * 2u].yz;
#for e < steps
#for g < parts
  let qa$r_$e_$g = queries[query$r + 2u * ($eu * {{parts}}u + $gu)] * {{scale}};
  let qb$r_$e_$g = queries[query$r + 2u * ($eu * {{parts}}u + $gu) + 1u] * {{scale}};
  var oa$r_$e_$g = vec4f();
  var ob$r_$e_$g = vec4f();
#end
#end
  var m$r = lowest;
  var l$r = 0.0;
#end
  // The highest rank that any pair may see.
  var top = sight0.x;
#for r < queries
  top = max(top, max(sight$r.x, sight$r.y));
#end
  top = subgroupMax(top);

  for (var i = split * length; i < end; i += 4u) {
    let key = min(i + lane % 4u, end - 1u);
    let slot = select(key + gap, key, key < slots.x);
    let rank = rank_at(slot);
    // An empty slot has the highest rank and may hold anything, and 0 * NaN is NaN.
    let mine = rank <= top;
#for j < keys
    let rank$j = subgroupBroadcast(rank, $ju);
    let inside$j = i + $ju < end;
#for r < queries
    let visible$r_$j = inside$j && (rank$j <= sight$r.x || rank$j == sight$r.y);
    var s$r_$j = 0.0;
#end
#end
    let at = (slot * {{kv_heads}}u + group.y) * {{eights}}u + lane / 4u % {{parts}}u;
#for e < steps
    let k$e = key_at(sizes.keys + at + $eu * {{parts}}u);
#for g < parts
#for j < keys
    let ka$e_$g_$j = subgroupBroadcast(k$e.a, $gu * 4u + $ju);
    let kb$e_$g_$j = subgroupBroadcast(k$e.b, $gu * 4u + $ju);
#for r < queries
    s$r_$j += dot(qa$r_$e_$g, ka$e_$g_$j) + dot(qb$r_$e_$g, kb$e_$g_$j);
#end
#end
#end
#end
#for r < queries
    var n$r = m$r;
#for j < keys
    let t$r_$j = select(unseen, s$r_$j, visible$r_$j);
    n$r = max(n$r, t$r_$j);
#end
    let f$r = exp2(m$r - n$r);
    m$r = n$r;
#for j < keys
    let p$r_$j = exp2(t$r_$j - n$r);
#end
    l$r = l$r * f$r + ({{sum j < keys: p$r_$j}});
#end
#for e < steps
    let v$e = value_at(sizes.values + at + $eu * {{parts}}u);
    let va$e = select(vec4f(), v$e.a, mine);
    let vb$e = select(vec4f(), v$e.b, mine);
#for g < parts
#for j < keys
    let va$e_$g_$j = subgroupBroadcast(va$e, $gu * 4u + $ju);
    let vb$e_$g_$j = subgroupBroadcast(vb$e, $gu * 4u + $ju);
#end
#for r < queries
    oa$r_$e_$g = oa$r_$e_$g * f$r + ({{sum j < keys: p$r_$j * va$e_$g_$j}});
    ob$r_$e_$g = ob$r_$e_$g * f$r + ({{sum j < keys: p$r_$j * vb$e_$g_$j}});
#end
#end
#end
  }

#for r < queries
  if (first_pair + $ru * {{lanes}}u < sizes.pairs) {
    let whole = sizes.partial == 0u;
    let stride = {{eights}}u * 2u + u32(!whole);
    let scale = select(1.0, select(0.0, 1.0 / l$r, l$r > 0.0), whole);
    let to = sizes.results + ((row$r * {{heads}}u + head$r) * sizes.splits + split) * stride;
#for e < steps
#for g < parts
    results[to + 2u * ($eu * {{parts}}u + $gu)] = oa$r_$e_$g * scale;
    results[to + 2u * ($eu * {{parts}}u + $gu) + 1u] = ob$r_$e_$g * scale;
#end
#end
    if (!whole) {
      results[to + stride - 1u] = vec4f(m$r, l$r, 0.0, 0.0);
    }
  }
#end
}
