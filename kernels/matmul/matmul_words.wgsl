// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias) by large tiles, with x and weights in words of {{per_word}}
// inputs. matmul_parts.wgsl and matmul_end.wgsl stand before this text; matmul_words.ts has the tile.
//
// Grid: a workgroup of {{lanes}} per {{rows}} rows x {{columns}} outputs and part of the inputs: neighbours along the
// outputs, then the rows, then the parts. Of it a lane sums {{tile}} rows x 8 outputs.
//
// Of blocks of 32 inputs there are two stages: while one is summed, the next is on its way from memory.
// Within a block sums are halves, or whole numbers; a row's scale takes them to f32.
//
//   x  [rows / 4][blocks] of {{words}} texels of words, scales and sums of squares (word_rows.wgsl)

// [stage][step][four rows], and [stage][step][half of a panel][panel]: a step is an input in halves, or four
// in whole numbers. Padded, so that what neighbours store lies in other banks.
var<workgroup> tile_x: array<{{four}}, 2 * {{depth}} * {{x_row}}>;
var<workgroup> tile_w: array<{{four}}, 2 * {{depth}} * {{w_row}}>;

fn load_x(four: u32, block: u32, word: u32) -> vec4u {
  let blocks = (sizes.quads + 7u) / 8u;
  let last = (sizes.rows + 3u) / 4u - 1u;
  return x_at(sizes.x + (min(four, last) * blocks + block) * ({{words}}u + 2u) + word);
}

#if quantized
fn keep_x(stage: u32, four: u32, word: u32, words: vec4u) {
  tile_x[(stage * {{depth}}u + word) * {{x_row}}u + four] = words;
}

// Four inputs of half a panel, in int4 of a whole one.
fn load_w(panel: u32, block: u32, unit: u32) -> vec4u {
  let blocks = (sizes.quads + 7u) / 8u;
  return weight_at((panel * blocks + block) * {{block_texels}}u + 1u + unit);
}

fn keep_w(stage: u32, panel: u32, unit: u32, words: vec4u) {
#if int8
  let at = (stage * {{depth}}u + unit / {{quad_texels}}u) * {{w_row}}u + panel;
  tile_w[at + unit % 2u * {{panels}}u] = words;
#else
  // Eight off each byte, without a borrow from its neighbour: signed.
  let sign = vec4u(0x80808080u);
  let eight = vec4u(0x08080808u);
  let low = (((words & vec4u(0x0f0f0f0fu)) | sign) - eight) ^ sign;
  let high = (((words >> vec4u(4u)) & vec4u(0x0f0f0f0fu) | sign) - eight) ^ sign;
  let at = (stage * {{depth}}u + unit) * {{w_row}}u + panel;
  tile_w[at] = vec4u(low.x, high.x, low.y, high.y);
  tile_w[at + {{panels}}u] = vec4u(low.z, high.z, low.w, high.w);
#end
}
#else
// Two inputs of four rows.
fn keep_x(stage: u32, four: u32, word: u32, words: vec4u) {
#for r < 4
  let h$r = vec2<f16>(unpack2x16float(words[$r]));
#end
  let at = (stage * {{depth}}u + word * 2u) * {{x_row}}u + four;
  tile_x[at] = vec4<f16>(h0.x, h1.x, h2.x, h3.x);
  tile_x[at + {{x_row}}u] = vec4<f16>(h0.y, h1.y, h2.y, h3.y);
}

// An input of a panel: eight halves.
fn load_w(panel: u32, block: u32, unit: u32) -> vec4u {
  let inputs = sizes.quads * 4u;
  let at = block * 32u + unit;
  return select(vec4u(0u), weight_at(panel * inputs + min(at, inputs - 1u)), at < inputs);
}

fn keep_w(stage: u32, panel: u32, unit: u32, words: vec4u) {
  let at = (stage * {{depth}}u + unit) * {{w_row}}u + panel;
  tile_w[at] = vec4<f16>(vec4f(unpack2x16float(words.x), unpack2x16float(words.y)));
  tile_w[at + {{panels}}u] = vec4<f16>(vec4f(unpack2x16float(words.z), unpack2x16float(words.w)));
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
  let first_four = item / across % down * ({{rows}}u / 4u);
  let part = item / across / down;
  let blocks = (sizes.quads + 7u) / 8u;
  let length = (blocks + sizes.parts - 1u) / sizes.parts;
  let begin = min(blocks, part * length);
  let end = min(blocks, begin + length);

  // What the lane loads: words of four rows, and units of the weights.
#for i < x_loads
  let word$i = (local + $iu * {{lanes}}u) % {{words}}u;
  let four$i = (local + $iu * {{lanes}}u) / {{words}}u;
#end
#for i < w_loads
  let unit$i = (local + $iu * {{lanes}}u) % {{units}}u;
  let to$i = (local + $iu * {{lanes}}u) / {{units}}u;
  let panel$i = min(first_panel + to$i, sizes.panels - 1u);
#end
  // What it sums.
  let column = local % {{panels}}u;
  let four = local / {{panels}}u;
  let panel = min(first_panel + column, sizes.panels - 1u);
#for r < 4
  var a$r = vec4f(0.0);
  var b$r = vec4f(0.0);
#end
  var squares = vec4f(0.0);

#for i < x_loads
  var x$i = load_x(first_four + four$i, min(begin, blocks - 1u), word$i);
#end
#for i < w_loads
  var w$i = load_w(panel$i, min(begin, blocks - 1u), unit$i);
#end
  if (begin < end) {
#for i < x_loads
    keep_x(0u, four$i, word$i, x$i);
#end
#for i < w_loads
    if (to$i < {{panels}}u) {
      keep_w(0u, to$i, unit$i, w$i);
    }
#end
  }
  workgroupBarrier();
  for (var block = begin; block < end; block++) {
    let stage = (block - begin) % 2u;
    let next = block + 1u;
    if (next < end) {
#for i < x_loads
      x$i = load_x(first_four + four$i, next, word$i);
#end
#for i < w_loads
      w$i = load_w(panel$i, next, unit$i);
#end
    }
    let scale = bitcast<vec4f>(load_x(first_four + four, block, {{words}}u));
    squares += bitcast<vec4f>(load_x(first_four + four, block, {{words}}u + 1u));
#if quantized
    let scales = scales_at((panel * blocks + block) * {{block_texels}}u);
#for r < 4
    var c$r = vec4i(0);
    var d$r = vec4i(0);
#end
#else
#for r < 4
#for j < 4
    var h$r_$j = vec2<f16>();
#end
#end
#end
    for (var k = 0u; k < {{depth}}u; k += 4u) {
#for k < 4
      let i$k = stage * {{depth}}u + k + $ku;
      let v$k = tile_x[i$k * {{x_row}}u + four];
      let p$k = tile_w[i$k * {{w_row}}u + column];
      let q$k = tile_w[i$k * {{w_row}}u + column + {{panels}}u];
#for r < 4
#if quantized
      c$r += vec4i({{list n < 4: dot4I8Packed(v$k[$r], p$k[$n])}});
      d$r += vec4i({{list n < 4: dot4I8Packed(v$k[$r], q$k[$n])}});
#else
      h$r_0 = fma(vec2<f16>(v$k[$r]), p$k.xy, h$r_0);
      h$r_1 = fma(vec2<f16>(v$k[$r]), p$k.zw, h$r_1);
      h$r_2 = fma(vec2<f16>(v$k[$r]), q$k.xy, h$r_2);
      h$r_3 = fma(vec2<f16>(v$k[$r]), q$k.zw, h$r_3);
#end
#end
#end
    }
#for r < 4
#if quantized
    a$r += vec4f(c$r) * scales.p * scale[$r];
    b$r += vec4f(d$r) * scales.q * scale[$r];
#else
    a$r += vec4f(vec2f(h$r_0), vec2f(h$r_1)) * scale[$r];
    b$r += vec4f(vec2f(h$r_2), vec2f(h$r_3)) * scale[$r];
#end
#end
    if (next < end) {
#for i < x_loads
      keep_x(1u - stage, four$i, word$i, x$i);
#end
#for i < w_loads
      if (to$i < {{panels}}u) {
        keep_w(1u - stage, to$i, unit$i, w$i);
      }
#end
    }
    workgroupBarrier();
  }

  let row = (first_four + four) * 4u;
  if (first_panel + column >= sizes.panels || part >= sizes.parts) {
    return;
  }
#if !scalar
  if (sizes.parts > 1u) {
    let width = 2u * sizes.panels + 1u;
#for r < 4
    if (row + $ru < sizes.rows) {
      let at = (part * sizes.rows + row + $ru) * width;
      y[at + panel * 2u] = a$r;
      y[at + panel * 2u + 1u] = b$r;
      if (panel == 0u) {
        y[at + width - 1u] = vec4f(squares[$r], 0.0, 0.0, 0.0);
      }
    }
#end
    return;
  }
#end
  var sums = array<vec4f, {{sums}}>({{list r < tile: a$r * norm_scale(squares[$r]), b$r * norm_scale(squares[$r])}});
  end_tile(row, panel, &sums);
}
