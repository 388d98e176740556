// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias) by large tiles in workgroup memory. matmul_parts.wgsl and
// matmul_end.wgsl stand before this text; matmul_blocks.ts has the tile.
//
// Grid: a workgroup of {{lanes}} per {{rows}} rows x {{columns}} outputs and part of the inputs: neighbours along the
// outputs, then the rows, then the parts. Of it a lane sums {{tile}} rows x {{lane_fours}} x 4 outputs.
//
// Of 16 inputs at a time there are two stages: while one is summed, the next is on its way from memory.

// [stage][input][four rows], and [stage][input][half of a panel][panel]; padded, so that what neighbours
// store lies in other banks.
var<workgroup> tile_x: array<vec4f, 32 * {{x_row}}>;
var<workgroup> tile_w: array<vec4f, 32 * {{w_row}}>;

// Four inputs of four rows, a column each.
fn load_x(first: u32, quad: u32) -> mat4x4f {
  let last = sizes.rows - 1u;
  let inside = quad < sizes.quads;
  let at = sizes.x + min(quad, sizes.quads - 1u);
#for r < 4
  let v$r = select(vec4f(0.0), x_at(at + min(first + $ru, last) * sizes.quads), inside);
#end
  return mat4x4f(v0, v1, v2, v3);
}

fn keep_x(stage: u32, four: u32, quad: u32, rows: mat4x4f) {
  let inputs = transpose(rows);
  let at = (stage * 16u + quad * 4u) * {{x_row}}u + four;
#for k < 4
  tile_x[at + $ku * {{x_row}}u] = inputs[$k];
#end
}

#if quantized
// Four inputs of a panel.
fn load_w(panel: u32, step: u32, unit: u32) -> Packed {
  let blocks = (sizes.quads + 7u) / 8u;
  let at = (panel * blocks + step / 2u) * {{block_texels}}u + 1u;
  return packed_at(at + (step % 2u * 4u + unit) * {{quad_texels}}u);
}

fn keep_w(stage: u32, panel: u32, to: u32, step: u32, unit: u32, packed: Packed) {
  let blocks = (sizes.quads + 7u) / 8u;
  let scales = scales_at((panel * blocks + step / 2u) * {{block_texels}}u);
  let p = transpose(mat4x4f({{list n < 4: numbers(packed.p[$n])}}));
  let q = transpose(mat4x4f({{list n < 4: numbers(packed.q[$n])}}));
  let at = (stage * 16u + unit * 4u) * {{w_row}}u + to;
#for k < 4
  tile_w[at + $ku * {{w_row}}u] = p[$k] * scales.p;
  tile_w[at + $ku * {{w_row}}u + {{panels}}u] = q[$k] * scales.q;
#end
}
#else
// An input of a panel: eight halves, or one of its two fours.
fn load_w(panel: u32, step: u32, unit: u32) -> {{texel}} {
  let texels = sizes.quads * {{quad_texels}}u;
  let at = step * {{units}}u + unit;
  return select({{texel}}(), weight_at(panel * texels + min(at, texels - 1u)), at < texels);
}

fn keep_w(stage: u32, panel: u32, to: u32, step: u32, unit: u32, texel: {{texel}}) {
#if half
  let at = (stage * 16u + unit) * {{w_row}}u + to;
  tile_w[at] = vec4f(unpack2x16float(texel.x), unpack2x16float(texel.y));
  tile_w[at + {{panels}}u] = vec4f(unpack2x16float(texel.z), unpack2x16float(texel.w));
#else
  tile_w[(stage * 16u + unit / 2u) * {{w_row}}u + to + unit % 2u * {{panels}}u] = texel;
#end
}
#end

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let item = group.y * groups.x + group.x;
  let across = (sizes.panels + {{panels}}u - 1u) / {{panels}}u;
  let down = (sizes.rows + {{rows}}u - 1u) / {{rows}}u;
  let first_panel = item % across * {{panels}}u;
  let first_row = item / across % down * {{rows}}u;
  let part = item / across / down;
  let steps = (sizes.quads + 3u) / 4u;
  let length = (steps + sizes.parts - 1u) / sizes.parts;
  let begin = min(steps, part * length);
  let end = min(steps, begin + length);

  // What the lane loads: a quad of four rows, and units of the weights.
  let load_quad = local % 4u;
  let load_four = local / 4u;
  let load_row = first_row + load_four * 4u;
#for i < loads
  let unit$i = (local + $iu * {{lanes}}u) % {{units}}u;
  let to$i = (local + $iu * {{lanes}}u) / {{units}}u;
  let panel$i = min(first_panel + to$i, sizes.panels - 1u);
#end
  // What it sums.
  let column = local % 8u;
  let row_fours = local / 8u * 2u;
#for h < 2
#for r < 4
  var a$h_$r = vec4f(0.0);
#if wide
  var b$h_$r = vec4f(0.0);
#end
#end
#end
  var squares = vec4f(0.0);

  var x = load_x(load_row, begin * 4u + load_quad);
#for i < loads
  var w$i = load_w(panel$i, min(begin, steps - 1u), unit$i);
#end
  if (begin < end) {
    squares += vec4f({{list r < 4: dot(x[$r], x[$r])}});
    keep_x(0u, load_four, load_quad, x);
#for i < loads
    if (to$i < {{panels}}u) {
      keep_w(0u, panel$i, to$i, begin, unit$i, w$i);
    }
#end
  }
  workgroupBarrier();
  for (var step = begin; step < end; step++) {
    let stage = (step - begin) % 2u;
    let next = step + 1u;
    if (next < end) {
      x = load_x(load_row, next * 4u + load_quad);
#for i < loads
      w$i = load_w(panel$i, next, unit$i);
#end
    }
    for (var k = 0u; k < 16u; k += 4u) {
#for k < 4
      let i$k = stage * 16u + k + $ku;
      let wa$k = tile_w[i$k * {{w_row}}u + column];
#if wide
      let wb$k = tile_w[i$k * {{w_row}}u + column + {{panels}}u];
#end
#for h < 2
      let x$k_$h = tile_x[i$k * {{x_row}}u + row_fours + $hu];
#for r < 4
      a$h_$r = fma(vec4f(x$k_$h[$r]), wa$k, a$h_$r);
#if wide
      b$h_$r = fma(vec4f(x$k_$h[$r]), wb$k, b$h_$r);
#end
#end
#end
#end
    }
    if (next < end) {
      squares += vec4f({{list r < 4: dot(x[$r], x[$r])}});
      keep_x(1u - stage, load_four, load_quad, x);
#for i < loads
      if (to$i < {{panels}}u) {
        keep_w(1u - stage, panel$i, to$i, next, unit$i, w$i);
      }
#end
    }
    workgroupBarrier();
  }

  // Four lanes have the squares of four rows.
  tile_x[local] = squares;
  workgroupBarrier();
  let row = first_row + row_fours * 4u;
#if wide
  let panel = first_panel + column;
#else
  let panel = first_panel + column % {{panels}}u;
  let upper = column / {{panels}}u;
#end
  if (panel >= sizes.panels || part >= sizes.parts) {
    return;
  }
#for h < 2
  let q$h = {{sum q < 4: tile_x[(row_fours + $hu) * 4u + $qu]}};
#end
  if (sizes.parts > 1u) {
#if scalar
    // Products of rows that are no whole vec4 aren't split.
    return;
#else
    let width = 2u * sizes.panels + 1u;
#for h < 2
#for r < 4
    if (row + $hu * 4u + $ru < sizes.rows) {
      let at = (part * sizes.rows + row + $hu * 4u + $ru) * width;
#if wide
      y[at + panel * 2u] = a$h_$r;
      y[at + panel * 2u + 1u] = b$h_$r;
#else
      y[at + panel * 2u + upper] = a$h_$r;
#end
      if (panel == 0u) {
        y[at + width - 1u] = vec4f(q$h[$r], 0.0, 0.0, 0.0);
      }
    }
#end
#end
    return;
#end
  }
#if wide
  var sums = array<vec4f, 16>(
#for h < 2
#for r < 4
    a$h_$r * norm_scale(q$h[$r]), b$h_$r * norm_scale(q$h[$r]),
#end
#end
  );
  end_tile(row, panel, &sums);
#else
#for h < 2
#for r < 4
  if (row + $hu * 4u + $ru < sizes.rows) {
    end_four(row + $hu * 4u + $ru, panel * 8u + upper * 4u, a$h_$r * norm_scale(q$h[$r]));
  }
#end
#end
#end
}
