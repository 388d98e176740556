// Rows of x in words: per four rows and block of 32 inputs {{words}} texels, in each of which every row has a
// word of {{per_word}} inputs, then a texel of the rows' scales and one of their sums of squares. An input is its
// scale times its number, the largest of a block a whole 127, or 1. Past the last row and input are zeros.
//
//   x      [rows][inputs] in vec4, from `sizes.x`
//   words  [rows / 4][blocks][{{words}} + 2][4 rows]

{{sizes}}
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> words: array<u32>;

#items item < (sizes.rows + 3u) / 4u * ((sizes.quads + 7u) / 8u) * 4u
  let blocks = (sizes.quads + 7u) / 8u;
  let lane = item % 4u;
  let block = item / 4u;
  let row = block / blocks * 4u + lane;
  let first = block % blocks * 8u;
  let start = sizes.x + min(row, sizes.rows - 1u) * sizes.quads;
  let quads = select(0u, min(8u, sizes.quads - first), row < sizes.rows);
  var largest = vec4f(0.0);
  var squares = 0.0;
  for (var j = 0u; j < quads; j++) {
    let v = x[start + first + j];
    largest = max(largest, abs(v));
    squares += dot(v, v);
  }
  let most = max(max(largest.x, largest.y), max(largest.z, largest.w));
  let inverse = select(0.0, {{top}} / most, most > 0.0);
  var to = block * {{words}}u * 4u + block * 8u + lane;
  for (var j = 0u; j < 8u; j++) {
    var v = vec4f(0.0);
    if (j < quads) {
      v = x[start + first + j] * inverse;
    }
#if half
    words[to] = pack2x16float(v.xy);
    words[to + 4u] = pack2x16float(v.zw);
    to += 8u;
#else
    words[to] = pack4xI8(vec4i(round(v)));
    to += 4u;
#end
  }
  words[to] = bitcast<u32>(most / {{top}});
  words[to + 4u] = bitcast<u32>(squares);
#end
