// Scores of a portion of queries with the keys of their frames (see frame_attention.ts).
// x texture [frames][positions][3 units], queries first, then keys; scores [rows][quads].

{{sizes}}
@group(0) @binding(1) {{x}}
@group(0) @binding(2) var<storage, read_write> scores: array<vec4f>;

{{reader}}

#items item < (sizes.rows + 3u) / 4u * sizes.quads
  let quad = item % sizes.quads;
  let row = item / sizes.quads * 4u;
  let width = 3u * sizes.units;
  // Rows and keys past the end compute the last one again.
#for r < 4
  let query$r = sizes.first + min(row + $ru, sizes.rows - 1u);
  let q$r = sizes.x + query$r * width;
  let frame$r = query$r / sizes.positions * sizes.positions;
  var s$r = vec4f();
#end
#for k < 4
  let key$k = min(quad * 4u + $ku, sizes.positions - 1u);
#end
  if (frame0 == frame3) {
    // All queries of the tile are of one frame: its keys serve them all.
#for k < 4
    let k$k = sizes.x + (frame0 + key$k) * width + sizes.units;
#end
    for (var c = 0u; c < sizes.units; c++) {
#for k < 4
      let v$k = x_at(k$k + c);
#end
#for r < 4
      let p$r = x_at(q$r + c);
      s$r += vec4f({{list k < 4: dot(p$r, v$k)}});
#end
    }
  } else {
    for (var c = 0u; c < sizes.units; c++) {
#for r < 4
      let p$r = x_at(q$r + c);
      let at$r = sizes.x + frame$r * width + sizes.units + c;
      s$r += vec4f({{list k < 4: dot(p$r, x_at(at$r + key$k * width))}});
#end
    }
  }
#for r < 4
  if (row + $ru < sizes.rows) {
    scores[(row + $ru) * sizes.quads + quad] = s$r * sizes.scale;
  }
#end
#end
