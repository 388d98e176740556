// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias) of few rows. matmul_parts.wgsl and matmul_end.wgsl stand
// before this text; matmul_rows.ts has the tile.
//
// Grid: a workgroup of {{lanes}} per panel of 8 outputs, {{tile}} rows and part of the inputs. Neighbouring lanes take
// neighbouring inputs, so that a load takes whole sectors; subgroups add up, then one lane for each row.

// [subgroup][row]: two fours of sums, and the squares of x.
var<workgroup> found: array<vec4f, {{most}} * {{tile}} * 3>;

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) size: u32,
) {
  let item = group.y * groups.x + group.x;
  let down = (sizes.rows + {{tile}}u - 1u) / {{tile}}u;
  let panel = item % sizes.panels;
  let row = item / sizes.panels % down * {{tile}}u;
  let part = item / sizes.panels / down;
  let last = sizes.rows - 1u;
  let units = sizes.quads * {{quad_units}}u;
  let length = (units + sizes.parts - 1u) / sizes.parts;
  let end = min(units, (part + 1u) * length);
#for r < tile
  let x$r = sizes.x + min(row + $ru, last) * sizes.quads;
  var a$r = vec4f(0.0);
  var b$r = vec4f(0.0);
  var s$r = 0.0;
#end
  for (var i = part * length + local; i < end; i += {{lanes}}u) {
#if half
    // One input: the halves of a panel's outputs.
    let w = weight_at(panel * units + i);
    let p = vec4f(unpack2x16float(w.x), unpack2x16float(w.y));
    let q = vec4f(unpack2x16float(w.z), unpack2x16float(w.w));
#for r < tile
    let v$r = x_at(x$r + i / 4u)[i % 4u];
    a$r = fma(vec4f(v$r), p, a$r);
    b$r = fma(vec4f(v$r), q, b$r);
    s$r = fma(v$r, v$r, s$r);
#end
#else
    // Four inputs.
#if quantized
    let at = (panel * ((sizes.quads + 7u) / 8u) + i / 8u) * {{block_texels}}u;
    let w = quad_at(at + 1u + i % 8u * {{quad_texels}}u, scales_at(at));
#else
    let w = quad_at((panel * sizes.quads + i) * {{quad_texels}}u);
#end
#for r < tile
    let v$r = x_at(x$r + i);
#for k < 4
    a$r = fma(vec4f(v$r[$k]), w.p[$k], a$r);
    b$r = fma(vec4f(v$r[$k]), w.q[$k], b$r);
#end
    s$r += dot(v$r, v$r);
#end
#end
  }
  let at = local / size * {{tile}}u * 3u;
#for r < tile
  let sum_a$r = subgroupAdd(a$r);
  let sum_b$r = subgroupAdd(b$r);
  let sum_s$r = subgroupAdd(s$r);
  if (lane == 0u) {
    found[at + $ru * 3u] = sum_a$r;
    found[at + $ru * 3u + 1u] = sum_b$r;
    found[at + $ru * 3u + 2u] = vec4f(sum_s$r, 0.0, 0.0, 0.0);
  }
#end
  workgroupBarrier();
  if (local >= {{tile}}u || row + local > last || part >= sizes.parts) {
    return;
  }
  var sums = array<vec4f, 2>(vec4f(0.0), vec4f(0.0));
  var squares = 0.0;
  for (var i = 0u; i < max(1u, {{lanes}}u / size); i++) {
    let from_found = (i * {{tile}}u + local) * 3u;
    sums[0] += found[from_found];
    sums[1] += found[from_found + 1u];
    squares += found[from_found + 2u].x;
  }
#if !scalar
  if (sizes.parts > 1u) {
    let width = 2u * sizes.panels + 1u;
    let to = (part * sizes.rows + row + local) * width;
    y[to + panel * 2u] = sums[0];
    y[to + panel * 2u + 1u] = sums[1];
    if (panel == 0u) {
      y[to + width - 1u] = vec4f(squares, 0.0, 0.0, 0.0);
    }
    return;
  }
#end
  sums[0] *= norm_scale(squares);
  sums[1] *= norm_scale(squares);
  end_tile(row + local, panel, &sums);
}
