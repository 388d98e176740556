// out[rows, heads * head_dim] = softmax(q k^T / sqrt(head_dim)) v over the keys that each row sees, by tiles
// in workgroup memory (see attention_tiles.ts).
//
// Grid: x: tiles of {{tile_rows}} rows, then splits of the keys, so that workgroups that read the same keys
// follow each other; y: kv heads. A workgroup holds {{pairs}} pairs of a row and one of the {{group}} query
// heads that share the kv head, and walks its keys {{keys}} at a time, in two ways of parting the work:
//   scores    a lane has 4 pairs x {{keys_per_lane}} keys: pairs from 4 pair_group on; keys key_group + j {{key_groups}}
//   sums      a lane has {{lane_fours}} x 4 pairs x 8 elements of the head
// Bindings as attention.wgsl has them.

{{sizes}}
@group(0) @binding(1) var<storage, read> token_table: array<vec4i>;
@group(0) @binding(2) var<storage, read> held: array<vec4i>;
@group(0) @binding(3) var<storage, read_write> results: array<vec4f>;
@group(0) @binding(4) var<storage, read> queries: array<vec4f>;
@group(0) @binding(5) var<storage, read> ranks: array<i32>;
@group(0) @binding(6) var<storage, read> keys: array<{{cache}}>;
@group(0) @binding(7) var<storage, read> values: array<{{cache}}>;

// [key][eight of the head], rows padded to an odd number of vec4 so that neighbouring rows lie in other
// banks. Floats: the first four of every eight, then the other four.
var<workgroup> tile_keys: array<{{kept}}, {{keys}} * {{row_texels}}>;
var<workgroup> tile_values: array<{{kept}}, {{keys}} * {{row_texels}}>;
// [key][four pairs], padded likewise.
var<workgroup> weights: array<vec4f, {{keys}} * {{row_pairs}}>;
// [four pairs][key group], and by four pairs.
var<workgroup> exchanged: array<vec4f, {{pair_groups}} * {{key_groups}}>;
var<workgroup> factors: array<vec4f, {{pair_groups}}>;
// Keys of a tile that any row sees; that of the next tile is emptied meanwhile.
var<workgroup> seen: array<atomic<u32>, 2>;

struct Eight {
  a: vec4f,
  b: vec4f,
}

fn unpacked(word: vec4u) -> Eight {
  return Eight(
    vec4f(unpack2x16float(word.x), unpack2x16float(word.y)),
    vec4f(unpack2x16float(word.z), unpack2x16float(word.w)),
  );
}

fn key_at(key: u32, e: u32) -> Eight {
#if packed
  return unpacked(tile_keys[key * {{row_texels}}u + e]);
#else
  let at = key * {{row_texels}}u + e;
  return Eight(tile_keys[at], tile_keys[at + {{eights}}u]);
#end
}

fn value_at(key: u32, e: u32) -> Eight {
#if packed
  return unpacked(tile_values[key * {{row_texels}}u + e]);
#else
  let at = key * {{row_texels}}u + e;
  return Eight(tile_values[at], tile_values[at + {{eights}}u]);
#end
}

// Below every score, and above what an unseen key gets: so that such a key weighs nothing.
const lowest = -1e30;
const unseen = -3e38;

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let tiles = (sizes.rows + {{tile_rows}}u - 1u) / {{tile_rows}}u;
  let split = group.x / tiles;
  let first_row = group.x % tiles * {{tile_rows}}u;
  let key_group = local % {{key_groups}}u;
  let pair_group = local / {{key_groups}}u;
  let eight = local % {{eights}}u;
  let sum_group = local / {{eights}}u;
  let sums = sum_group < {{sum_groups}}u;

  let slots = vec4u(held[sizes.held]);
  let count = slots.x + slots.z - slots.y;
  let gap = slots.y - slots.x;
  let key_tiles = (count + {{keys}}u - 1u) / {{keys}}u;
  let length = (key_tiles + sizes.splits - 1u) / sizes.splits;
  let end = min(key_tiles, (split + 1u) * length);

  // Pairs past the last row take it again and store nothing.
#for r < 4
  let pair$r = pair_group * 4u + $ru;
  let row$r = min(first_row + pair$r / {{group}}u, sizes.rows - 1u);
  let query$r = sizes.queries +
    (row$r * {{heads}}u + group.y * {{group}}u + pair$r % {{group}}u) * {{eights}}u * 2u;
#end
  var highest = vec4f(lowest);
  var sum = vec4f(0.0);
#for h < lane_fours
#for r < 4
  var oa$h_$r = vec4f(0.0);
  var ob$h_$r = vec4f(0.0);
#end
#end

  for (var tile = split * length; tile < end; tile++) {
    // Which of the lane's keys each of its pairs sees, a bit each.
    var sees = 0u;
    var any = 0u;
#for r < 4
    let sight$r = token_table[sizes.token_table + row$r * 2u].yz;
#end
#for j < keys_per_lane
    let place$j = key_group + $ju * {{key_groups}}u;
    let key$j = tile * {{keys}}u + place$j;
    let held$j = min(key$j, count - 1u);
    let rank$j = ranks[sizes.ranks + select(held$j + gap, held$j, held$j < slots.x)];
#for r < 4
    let visible$j_$r = key$j < count && (rank$j <= sight$r.x || rank$j == sight$r.y);
    sees |= u32(visible$j_$r) << (4u * $ju + $ru);
#end
    any |= u32(visible$j_0 || visible$j_1 || visible$j_2 || visible$j_3) << place$j;
#end
    if (any != 0u) {
      atomicOr(&seen[tile & 1u], any);
    }
    workgroupBarrier();

    // Keys that no row sees are zero: an empty slot may hold anything, and 0 * NaN is NaN.
    let mask = atomicLoad(&seen[tile & 1u]);
#for i < loads
    {
      let i = local + $iu * {{lanes}}u;
      let place = i / {{head_texels}}u;
      let x = i % {{head_texels}}u;
      if (place < {{keys}}u) {
        let key = min(tile * {{keys}}u + place, count - 1u);
        let slot = select(key + gap, key, key < slots.x);
        let at = (slot * {{kv_heads}}u + group.y) * {{head_texels}}u + x;
        var k = {{cache}}();
        var v = {{cache}}();
        if ((mask >> place & 1u) == 1u) {
          k = keys[sizes.keys + at];
          v = values[sizes.values + at];
        }
#if packed
        let to = place * {{row_texels}}u + x;
        tile_keys[to] = k;
        tile_values[to] = v;
#else
#if half
        let to = place * {{row_texels}}u + x;
        let ks = unpacked(k);
        let vs = unpacked(v);
        tile_keys[to] = ks.a;
        tile_keys[to + {{eights}}u] = ks.b;
        tile_values[to] = vs.a;
        tile_values[to + {{eights}}u] = vs.b;
#else
        let to = place * {{row_texels}}u + x / 2u + x % 2u * {{eights}}u;
        tile_keys[to] = k;
        tile_values[to] = v;
#end
#end
      }
    }
#end
    if (local == 0u) {
      atomicStore(&seen[(tile + 1u) & 1u], 0u);
    }
    workgroupBarrier();

#for j < keys_per_lane
#for r < 4
    var s$r_$j = 0.0;
#end
#end
    if (mask != 0u) {
      for (var e = 0u; e < {{eights}}u; e++) {
#for r < 4
        let qa$r = queries[query$r + 2u * e];
        let qb$r = queries[query$r + 2u * e + 1u];
#end
#for j < keys_per_lane
        let k$j = key_at(place$j, e);
#for r < 4
        s$r_$j += dot(qa$r, k$j.a) + dot(qb$r, k$j.b);
#end
#end
      }
    }
    var top = vec4f(unseen);
#for j < keys_per_lane
    let bits$j = (vec4u(sees >> (4u * $ju)) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u);
    let score$j = select(vec4f(unseen), vec4f(s0_$j, s1_$j, s2_$j, s3_$j) * {{scale}}, bits$j == vec4u(1u));
    top = max(top, score$j);
#end
    exchanged[local] = top;
    workgroupBarrier();

    // The sums are scaled once for all keys of the tile. exp2 is what the hardware has: the scale holds
    // log2(e). A lane's sum of weights is that of its own keys until the end.
    var now = highest;
#for g < key_groups
    now = max(now, exchanged[pair_group * {{key_groups}}u + $gu]);
#end
    let factor = exp2(highest - now);
    highest = now;
    sum *= factor;
    if (key_group == 0u) {
      factors[pair_group] = factor;
    }
#for j < keys_per_lane
    let weight$j = exp2(score$j - now);
    weights[place$j * {{row_pairs}}u + pair_group] = weight$j;
    sum += weight$j;
#end
    workgroupBarrier();

    if (sums && mask != 0u) {
#for h < lane_fours
      let f$h = factors[sum_group * {{lane_fours}}u + $hu];
#for r < 4
      oa$h_$r *= f$h[$r];
      ob$h_$r *= f$h[$r];
#end
#end
      for (var key = 0u; key < {{keys}}u; key += 4u) {
#for k < 4
        let v$k = value_at(key + $ku, eight);
#for h < lane_fours
        let w$k_$h = weights[(key + $ku) * {{row_pairs}}u + sum_group * {{lane_fours}}u + $hu];
#for r < 4
        oa$h_$r = fma(vec4f(w$k_$h[$r]), v$k.a, oa$h_$r);
        ob$h_$r = fma(vec4f(w$k_$h[$r]), v$k.b, ob$h_$r);
#end
#end
#end
      }
    }
  }

  workgroupBarrier();
  exchanged[local] = sum;
  if (key_group == 0u) {
    factors[pair_group] = highest;
  }
  workgroupBarrier();
  if (!sums) {
    return;
  }
#for h < lane_fours
  let four$h = sum_group * {{lane_fours}}u + $hu;
  var l$h = vec4f(0.0);
#for g < key_groups
  l$h += exchanged[four$h * {{key_groups}}u + $gu];
#end
#for r < 4
  {
    let pair = four$h * 4u + $ru;
    let row = first_row + pair / {{group}}u;
    if (pair < {{tile_rows}}u * {{group}}u && row < sizes.rows) {
      let at = row * {{heads}}u + group.y * {{group}}u + pair % {{group}}u;
      if (sizes.splits == 1u) {
        let to = sizes.results + at * {{eights}}u * 2u + 2u * eight;
        let inverse = select(0.0, 1.0 / l$h[$r], l$h[$r] > 0.0);
        results[to] = oa$h_$r * inverse;
        results[to + 1u] = ob$h_$r * inverse;
      } else {
        let to = sizes.results + (at * sizes.splits + split) * ({{eights}}u * 2u + 1u);
        results[to + 2u * eight] = oa$h_$r;
        results[to + 2u * eight + 1u] = ob$h_$r;
        if (eight == 0u) {
          results[to + {{eights}}u * 2u] = vec4f(factors[four$h][$r], l$h[$r], 0.0, 0.0);
        }
      }
    }
  }
#end
#end
}
