// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias) by the integer dot product of quantized rows and
// quantized weights. matmul_parts.wgsl stands before this text; matmul_dot.ts has the tile.
//
// Grid: an invocation per {{tile}} rows x 8 outputs, neighbours along the outputs.
//   x         [rows][blocks] of three texels (quantize_rows.wgsl)

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (group.y * groups.x + group.x) * {{lanes}}u + local;
  let panel = item % sizes.panels;
  let row = item / sizes.panels * {{tile}}u;
  let last = sizes.rows - 1u;
  let blocks = (sizes.quads + 7u) / 8u;
#for r < tile
  let x$r = sizes.x + min(row + $ru, last) * blocks * 3u;
  var a$r = vec4f();
  var b$r = vec4f();
  var s$r = 0.0;
#end
  var at = panel * blocks * {{block_texels}}u;
  for (var block = 0u; block < blocks; block++) {
    let scales = scales_at(at);
    at += 1u;
#for r < tile
    var c$r = vec4i();
    var d$r = vec4i();
#end
    for (var half = 0u; half < 2u; half++) {
#for r < tile
      let u$r = x_at(x$r + block * 3u + half);
#end
#for k < 4
      let w$k = packed_at(at + $ku * {{quad_texels}}u);
#for r < tile
      c$r += vec4i({{list n < 4: dot4I8Packed(u$r[$k], w$k.p[$n])}});
      d$r += vec4i({{list n < 4: dot4I8Packed(u$r[$k], w$k.q[$n])}});
#end
#end
      at += 4u * {{quad_texels}}u;
    }
#for r < tile
    let m$r = x_at(x$r + block * 3u + 2u);
#if !int8
    // Weights of int4 are stored plus 8: eight times the sum of x comes off again.
    c$r -= vec4i(8 * bitcast<i32>(m$r.z));
    d$r -= vec4i(8 * bitcast<i32>(m$r.z));
#end
    a$r += vec4f(c$r) * scales.p * bitcast<f32>(m$r.x);
    b$r += vec4f(d$r) * scales.q * bitcast<f32>(m$r.x);
    s$r += bitcast<f32>(m$r.y);
#end
  }
  var sums = array<vec4f, {{sums}}>({{list r < tile: a$r * norm_scale(s$r), b$r * norm_scale(s$r)}});
  end_tile(row, panel, &sums);
}
