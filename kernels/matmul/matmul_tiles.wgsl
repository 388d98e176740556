// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias) by tiles in workgroup memory. matmul_parts.wgsl
// stands before this text; matmul.ts has the tile.
//
// Grid: a workgroup of 64 per {{tile}} x 8 rows x 64 outputs, neighbours along the outputs.

// Eight groups of four inputs: [row][group], and [group][panel].
var<workgroup> tile_x: array<vec4f, {{tile}} * 64>;
var<workgroup> tile_w: array<Quad, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let item = group.y * groups.x + group.x;
  let across = (sizes.panels + 7u) / 8u;
  let first_row = item / across * {{tile}}u * 8u;
  let first_panel = item % across * 8u;
  let last = sizes.rows - 1u;
  // What this invocation sums: rows from `row` on of a panel; and what it loads of the weights.
  let row = first_row + local / 8u * {{tile}}u;
  let panel = first_panel + local % 8u;
  let load_panel = min(first_panel + local / 8u, sizes.panels - 1u);
  let load_quad = local % 8u;
  let to_w = load_quad * 8u + local / 8u;
#for r < tile
  var a$r = vec4f();
  var b$r = vec4f();
  var s$r = 0.0;
#end
  let blocks = (sizes.quads + 7u) / 8u;
  for (var block = 0u; block < blocks; block++) {
    let quad = block * 8u + load_quad;
    if (quad < sizes.quads) {
#if quantized
      let at = (load_panel * blocks + block) * {{block_texels}}u;
      tile_w[to_w] = quad_at(at + 1u + load_quad * {{quad_texels}}u, scales_at(at));
#else
      tile_w[to_w] = quad_at((load_panel * sizes.quads + quad) * {{quad_texels}}u);
#end
    } else {
      tile_w[to_w] = Quad();
    }
    for (var i = local; i < {{tile}}u * 64u; i += 64u) {
      let column = block * 8u + i % 8u;
      let at = sizes.x + min(first_row + i / 8u, last) * sizes.quads + min(column, sizes.quads - 1u);
      tile_x[i] = select(vec4f(), x_at(at), column < sizes.quads);
    }
    workgroupBarrier();
    for (var i = 0u; i < 8u; i++) {
      let w = tile_w[i * 8u + local % 8u];
#for r < tile
      let v$r = tile_x[(local / 8u * {{tile}}u + $ru) * 8u + i];
      a$r += {{sum k < 4: v$r[$k] * w.p[$k]}};
      b$r += {{sum k < 4: v$r[$k] * w.q[$k]}};
      s$r += dot(v$r, v$r);
#end
    }
    workgroupBarrier();
  }
  var sums = array<vec4f, {{sums}}>({{list r < tile: a$r * norm_scale(s$r), b$r * norm_scale(s$r)}});
  end_tile(row, panel, &sums);
}
