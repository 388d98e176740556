// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias), f the activation or the gate, summed in
// registers. matmul_parts.wgsl stands before this text; matmul.ts has the tile.
//
// Grid: {{split}} invocations per {{tile}} rows x 8 outputs, neighbours along the inputs, then the outputs.
// Where rows are handed round, a workgroup has one tile's rows, in {{hands}} hands of {{team}}: of each hand a lane
// reads one row and gives it to its subgroup. Tiles of the same outputs follow each other, so that their
// weights are read while they are in the cache.

#if shared
var<workgroup> shared_sums: array<vec4f, {{lanes}} * {{tile}} * 2>;
var<workgroup> shared_squares: array<f32, {{lanes}} * {{tile}}>;
#end

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
#if handed
  @builtin(subgroup_invocation_id) lane: u32,
#end
) {
  let last = sizes.rows - 1u;
#if handed
  let index = group.y * groups.x + group.x;
  let tiles = last / {{tile}}u + 1u;
  let row = index % tiles * {{tile}}u;
  // Lanes past the last panel compute it again and store nothing: every lane gives rows to the others.
  let place = index / tiles * {{lanes}}u + local;
  let panel = min(place, sizes.panels - 1u);
  let part = 0u;
#else
  let id = (group.y * groups.x + group.x) * {{lanes}}u + local;
  let part = id % {{split}}u;
  let item = id / {{split}}u;
  // Invocations past the end compute the last row again and store nothing: an early return would mask
  // every load and store after it, which llvmpipe takes 1.6 times as long to compile.
  let panel = item % sizes.panels;
  let row = item / sizes.panels * {{tile}}u;
#end
#for h < hands
#if handed
  let x$h = sizes.x + min(row + $hu * {{team}}u + lane % {{team}}u, last) * sizes.quads;
  var s$h = 0.0;
#end
#for r < team
#if !handed
  let x$h_$r = sizes.x + min(row + $ru, last) * sizes.quads;
  var s$h_$r = 0.0;
#end
  var a$h_$r = vec4f();
  var b$h_$r = vec4f();
#end
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
#for h < hands
#if handed
      let u$h = x_at(x$h + i);
#if normed
      s$h += dot(u$h, u$h);
#end
#end
#for r < team
#if handed
      let v$h_$r = subgroupBroadcast(u$h, $ru);
#else
      let v$h_$r = x_at(x$h_$r + i);
#end
#end
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
#for h < hands
#for r < team
#for k < 4
      a$h_$r = fma(vec4f(v$h_$r[$k]), w.p[$k], a$h_$r);
      b$h_$r = fma(vec4f(v$h_$r[$k]), w.q[$k], b$h_$r);
#end
#if !handed
#if normed
      s$h_$r += dot(v$h_$r, v$h_$r);
#end
#end
#end
#end
    }
  }
#if shared
  // The invocations of a split leave their sums to each other; each ends every {{split}}th row.
#for r < tile
  shared_sums[(local * {{tile}}u + $ru) * 2u] = a0_$r;
  shared_sums[(local * {{tile}}u + $ru) * 2u + 1u] = b0_$r;
  shared_squares[local * {{tile}}u + $ru] = s0_$r;
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
  var sums: array<vec4f, {{sums}}>;
#for h < hands
#for r < team
#if handed
  let scale$h_$r = norm_scale(subgroupBroadcast(s$h, $ru));
#else
  let scale$h_$r = norm_scale(s$h_$r);
#end
  sums[($hu * {{team}}u + $ru) * 2u] = a$h_$r * scale$h_$r;
  sums[($hu * {{team}}u + $ru) * 2u + 1u] = b$h_$r * scale$h_$r;
#end
#end
#if handed
  if (place >= sizes.panels) {
    return;
  }
#end
  end_tile(row, panel, &sums);
#end
}
