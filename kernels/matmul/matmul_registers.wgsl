// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias), f the activation or the gate, summed in
// registers. matmul_parts.wgsl stands before this text; matmul.ts has the tile.
//
// Grid: {{split}} invocations per {{tile}} rows x 8 outputs, neighbours along the inputs, then the outputs.

#if shared
var<workgroup> shared_sums: array<vec4f, {{lanes}} * {{tile}} * 2>;
var<workgroup> shared_squares: array<f32, {{lanes}} * {{tile}}>;
#end

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let id = (group.y * groups.x + group.x) * {{lanes}}u + local;
  let part = id % {{split}}u;
  let item = id / {{split}}u;
  // Invocations past the end compute the last row again and store nothing: an early return would mask
  // every load and store after it, which llvmpipe takes 1.6 times as long to compile.
  let panel = item % sizes.panels;
  let row = item / sizes.panels * {{tile}}u;
  let last = sizes.rows - 1u;
#for r < tile
  let x$r = sizes.x + min(row + $ru, last) * sizes.quads;
  var a$r = vec4f();
  var b$r = vec4f();
  var s$r = 0.0;
#end
#if quantized
  let blocks = (sizes.quads + 7u) / 8u;
  for (var block = part; block < blocks; block += {{split}}u) {
    var at = (panel * blocks + block) * {{block_texels}}u;
    let scales = scales_at(at);
    at += 1u;
    let end = min((block + 1u) * 8u, sizes.quads);
    for (var i = block * 8u; i < end; i++) {
#else
  {
    var at = (panel * sizes.quads + part) * {{quad_texels}}u;
    for (var i = part; i < sizes.quads; i += {{split}}u) {
#end
#for r < tile
      let v$r = x_at(x$r + i);
#end
#if quantized
      let w = quad_at(at, scales);
      at += {{quad_texels}}u;
#else
      let w = quad_at(at);
      at += {{split}}u * {{quad_texels}}u;
#end
      // A sum changes once per four inputs: there are more sums than a CPU has registers, so that each
      // change is a load and a store.
#for r < tile
      a$r += {{sum k < 4: v$r[$k] * w.p[$k]}};
      b$r += {{sum k < 4: v$r[$k] * w.q[$k]}};
#if normed
      s$r += dot(v$r, v$r);
#end
#end
    }
  }
#if shared
  // The invocations of a split leave their sums to each other; each ends every {{split}}th row.
#for r < tile
  shared_sums[(local * {{tile}}u + $ru) * 2u] = a$r;
  shared_sums[(local * {{tile}}u + $ru) * 2u + 1u] = b$r;
  shared_squares[local * {{tile}}u + $ru] = s$r;
#end
  workgroupBarrier();
  let team = local - part;
  for (var r = part; r < {{tile}}u && row + r < sizes.rows; r += {{split}}u) {
    var sums = array<vec4f, 2>();
    var squares = 0.0;
    for (var lane = team; lane < team + {{split}}u; lane++) {
      sums[0] += shared_sums[(lane * {{tile}}u + r) * 2u];
      sums[1] += shared_sums[(lane * {{tile}}u + r) * 2u + 1u];
      squares += shared_squares[lane * {{tile}}u + r];
    }
    sums[0] *= norm_scale(squares);
    sums[1] *= norm_scale(squares);
    end_tile(row + r, panel, &sums);
  }
#else
  var sums = array<vec4f, {{sums}}>({{list r < tile: a$r * norm_scale(s$r), b$r * norm_scale(s$r)}});
  end_tile(row, panel, &sums);
#end
}
