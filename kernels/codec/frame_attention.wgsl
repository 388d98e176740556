// A portion of queries: the frame's values weighted with their scores (see frame_attention.ts).
// x texture: [frames][positions][3 units], values last, and scores [rows][quads]; y [frames][positions][units].

{{sizes}}
@group(0) @binding(1) {{x}}
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

{{reader}}

#items item < (sizes.rows + 3u) / 4u * sizes.units
  let unit = item % sizes.units;
  let row = item / sizes.units * 4u;
  let width = 3u * sizes.units;
  // Rows past the end compute the last one again.
#for r < 4
  let row$r = min(row + $ru, sizes.rows - 1u);
  let p$r = sizes.scores + row$r * sizes.quads;
  let frame$r = (sizes.first + row$r) / sizes.positions * sizes.positions;
  let v$r = sizes.x + frame$r * width + 2u * sizes.units + unit;
  var sum$r = vec4f();
#end
  for (var quad = 0u; quad < sizes.quads; quad++) {
    // Scores past the last position are zero; what stands there in x may be anything.
#for k < 4
    let key$k = min(quad * 4u + $ku, sizes.positions - 1u) * width;
#end
    if (frame0 == frame3) {
#for k < 4
      let w$k = x_at(v0 + key$k);
#end
#for r < 4
      let s$r = x_at(p$r + quad);
      sum$r += {{sum k < 4: s$r[$k] * w$k}};
#end
    } else {
#for r < 4
      let s$r = x_at(p$r + quad);
      sum$r += {{sum k < 4: s$r[$k] * x_at(v$r + key$k)}};
#end
    }
  }
#for r < 4
  if (row + $ru < sizes.rows) {
    y[sizes.y + (sizes.first + row + $ru) * sizes.units + unit] = sum$r;
  }
#end
#end
