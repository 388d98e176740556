// partials[parts][queries] = {maximum, sum} of the weights that a query's softmax gives a part's keys,
// the sum under that maximum. A query is a row and a head.
//
// Grid: one lane per part and query (queries next to each other, so that neighbours read the same keys).
//   token_table [rows][8]: {slot, limit, own, ...}
//   queries     [rows][heads][head_dim] in vec4
//   keys        [slots][kv_heads][head_dim]: vec4 of floats, or of eight halves
//   order       [slots]: slots that hold keys
//   parts       [parts]: {start, end, class, 0} in `order`

{{sizes}}
@group(0) @binding(1) var<storage, read> token_table: array<vec4i>;
@group(0) @binding(2) var<storage, read> queries: array<vec4f>;
@group(0) @binding(3) var<storage, read> keys: array<{{cache}}>;
@group(0) @binding(4) var<storage, read> ranks: array<i32>;
@group(0) @binding(5) var<storage, read> order: array<u32>;
@group(0) @binding(6) var<storage, read> parts: array<vec4u>;
@group(0) @binding(7) var<storage, read_write> partials: array<vec2f>;

// Below every score.
const lowest = -1e30;

#items i < sizes.queries * sizes.parts
  let query = i % sizes.queries;
  let part = parts[sizes.first_part + i / sizes.queries];
  let kv_head = query % {{heads}}u / {{group}}u;
  let sight = token_table[sizes.token_table + query / {{heads}}u * 2u].yz;
  let first = sizes.query + query * {{eights}}u * 2u;
#for e < eights
  let qa$e = queries[first + 2u * $eu] * {{scale}};
  let qb$e = queries[first + 2u * $eu + 1u] * {{scale}};
#end
  var highest = lowest;
  var sum = 0.0;
  for (var at = part.x; at < part.y; at++) {
    let slot = order[sizes.order + at];
    let rank = ranks[sizes.ranks + slot];
    if (rank <= sight.x || rank == sight.y) {
      let key = sizes.keys + (slot * {{kv_heads}}u + kv_head) * {{eights}}u * {{eight_texels}}u;
      var score = 0.0;
#for e < eights
#if half
      let k$e = keys[key + $eu];
      score += dot(qa$e, vec4f(unpack2x16float(k$e.x), unpack2x16float(k$e.y))) +
        dot(qb$e, vec4f(unpack2x16float(k$e.z), unpack2x16float(k$e.w)));
#else
      score += dot(qa$e, keys[key + 2u * $eu]) + dot(qb$e, keys[key + 2u * $eu + 1u]);
#end
#end
      let next = max(highest, score);
      sum = sum * exp2(highest - next) + exp2(score - next);
      highest = next;
    }
  }
  partials[i] = vec2f(highest, sum);
#end
