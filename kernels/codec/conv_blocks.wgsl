// 3-D convolution, causal in time, as an implicit matrix product by large tiles, straight from buffers (see
// conv_blocks.ts). With `join` it adds the parts of such a product and ends it.
//
// Grid: a workgroup of {{rows}} per {{rows}} positions x 64 channels and part of the inputs: neighbours along the
// channels, then the positions, then the parts. Of it a lane sums 8 x 8. Of 16 inputs at a time there are two
// stages: while one is summed, the next is on its way from memory.
//
//   x, before  what a unit has and what was before it, flat, in vec4 or in values
//   weight     by panel: bias, then [taps][steps][4 inputs][panel]
//   y          [rows][outputs]; of a part: [part][rows][fours of outputs]

{{shape}}
#if join
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
#else
@group(0) @binding(1) var<storage, read> x: array<{{x_type}}>;
#end
@group(0) @binding(2) {{weight}}
@group(0) @binding(3) var<storage, read_write> y: array<{{y_type}}>;
#if has_state
@group(0) @binding(4) var<storage, read> before: array<{{x_type}}>;
#end
#if reads_added
@group(0) @binding(4 + {{states}}) var<storage, read> added: array<{{y_type}}>;
#end

{{weight_reader}}

// Texels of a panel, and of an input in it.
const row_texels = {{octets}}u * {{texels}}u;

fn panel_at(panel: u32) -> u32 {
  let inputs = shape.taps.x * shape.taps.y * shape.taps.z * shape.steps * 4u;
  return panel * ({{octets}}u * 2u + inputs * row_texels);
}

#if ends
{{activate}}

// Four values to add, from element `at` on.
fn added_at(at: u32, count: u32) -> vec4f {
#if adds
#if stores_vectors
  return {{added}}[shape.add + at / 4u];
#else
  var v = vec4f(0.0);
  for (var i = 0u; i < count; i++) {
    v[i] = {{added}}[shape.add + at + i];
  }
  return v;
#end
#else
  return vec4f(0.0);
#end
}

// Ends four outputs from n on at a position.
fn finish(m: u32, n: u32, sum: vec4f) {
  let columns = {{octets}}u * 8u;
  var v = sum + bitcast<vec4f>(weight_at(panel_at(n / columns) + n % columns / 4u));
  let at = m * shape.outputs + n;
  let count = min(4u, shape.outputs - n);
#if adds_first
  v += added_at(at, count);
#end
  v = activate(v);
#if adds_last
  v += added_at(at, count);
#end
#if stores_vectors
  y[shape.y_offset + at / 4u] = v;
#else
  for (var i = 0u; i < count; i++) {
    y[shape.y_offset + at + i] = v[i];
  }
#end
}
#end

#if join
#items item < shape.rows * ((shape.outputs + 3u) / 4u)
  let fours = (shape.outputs + 3u) / 4u;
  var sum = vec4f(0.0);
  for (var part = 0u; part < shape.parts; part++) {
    sum += partials[part * shape.rows * fours + item];
  }
  finish(item / fours, item % fours * 4u, sum);
#end
#else
// [stage][input][four positions], and [stage][input][half of an octet][octet]; padded, so that what
// neighbours store lies in other banks.
const x_row = {{rows}}u / 4u + 1u;
// Where an octet's second halves begin, and an input's row ends.
const w_half = 10u;
const w_row = 19u;
var<workgroup> tile_x: array<vec4f, 32u * x_row>;
var<workgroup> tile_w: array<vec4f, 32u * w_row>;

fn input_at(i: u32) -> {{x_type}} {
#if has_state
  if (i < shape.past) {
    return before[shape.before + i];
  }
#end
  return x[shape.x + i - shape.past];
}

// Four inputs of a position, from step `step` of a tap on: zeros outside the picture. Unsigned numbers wrap where
// the padding reaches over the edge, and fail the comparison.
fn values_at(frame: u32, place: u32, tap: vec3u, step: u32) -> vec4f {
  let line = (place & 0xffffu) + tap.y - shape.pad.x;
  let position = (place >> 16u) + tap.z - shape.pad.y;
  if (line >= shape.height || position >= shape.width) {
    return vec4f(0.0);
  }
  let at = (frame + tap.x * shape.dilation) * shape.frame_texels +
    line / shape.upsample.x * shape.line_texels + position / shape.upsample.y * shape.position_texels;
#if vector
  return input_at(at + step);
#else
  let c = vec4u(4u * step) + vec4u(0u, 1u, 2u, 3u);
  let v = vec4f({{list i < 4: input_at(at + c[$i])}});
  return select(vec4f(0.0), v, c < vec4u(shape.run));
#end
}

// A texel of a stage's weights: eight halves of an input, or four floats.
fn load_w(panel: u32, step: u32, unit: u32) -> {{texel}} {
  let texels = shape.taps.x * shape.taps.y * shape.taps.z * shape.steps * 4u * row_texels;
  let at = step * 16u * row_texels + unit;
  let texel = weight_at(panel_at(panel) + {{octets}}u * 2u + min(at, texels - 1u));
  return select({{texel}}(), texel, at < texels);
}

// Keeps it: `texel` of an input's row of the tile.
fn keep_w(stage: u32, input: u32, texel: u32, value: {{texel}}) {
  let at = (stage * 16u + input) * w_row;
#if half
  tile_w[at + texel] = vec4f(unpack2x16float(value.x), unpack2x16float(value.y));
  tile_w[at + texel + w_half] = vec4f(unpack2x16float(value.z), unpack2x16float(value.w));
#else
  tile_w[at + texel / 2u + texel % 2u * w_half] = value;
#end
}

@compute @workgroup_size({{rows}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let item = group.y * groups.x + group.x;
  let across = (shape.outputs + 63u) / 64u;
  let down = (shape.rows + {{rows}}u - 1u) / {{rows}}u;
  let first_n = item % across * 64u;
  let first_row = item / across % down * {{rows}}u;
  let part = item / across / down;
  let quads = shape.taps.x * shape.taps.y * shape.taps.z * shape.steps;
  let steps = (quads + 3u) / 4u;
  let length = (steps + shape.parts - 1u) / shape.parts;
  let begin = min(steps, part * length);
  let end = min(steps, begin + length);

  // What the lane loads: a quad of four positions, and texels of the weights.
  let load_quad = local % 4u;
  let load_four = local / 4u;
#for r < 4
  let m$r = min(first_row + load_four * 4u + $ru, shape.rows - 1u);
  let t$r = m$r / shape.plane * shape.stride.x;
  let p$r = m$r % shape.plane / shape.line * shape.stride.y | m$r % shape.line * shape.stride.z << 16u;
#end
#for i < loads
  let unit$i = (local + $iu * {{rows}}u) % (16u * row_texels);
  let in_tile$i = (local + $iu * {{rows}}u) / (16u * row_texels);
  let panel$i = min(first_n / ({{octets}}u * 8u) + in_tile$i, shape.panels - 1u);
  let input$i = unit$i / row_texels;
  let texel$i = in_tile$i * row_texels + unit$i % row_texels;
#end
  // What it sums.
  let column = local % 8u;
  let row_fours = local / 8u * 2u;
#for h < 2
#for r < 4
  var a$h_$r = vec4f(0.0);
  var b$h_$r = vec4f(0.0);
#end
#end
  var x0 = vec4f(0.0);
  var x1 = vec4f(0.0);
  var x2 = vec4f(0.0);
  var x3 = vec4f(0.0);
#for i < loads
  var w$i = {{texel}}();
#end
  // A turn before the first one only loads.
  for (var turn = begin; turn <= end; turn++) {
    let stage = (turn - begin) % 2u;
    if (turn < end) {
      let quad = turn * 4u + load_quad;
      let tap = quad / shape.steps;
      let taps = vec3u(tap / (shape.taps.y * shape.taps.z), tap / shape.taps.z % shape.taps.y, tap % shape.taps.z);
      let inside = quad < quads;
#for r < 4
      x$r = vec4f(0.0);
      if (inside) {
        x$r = values_at(t$r, p$r, taps, quad % shape.steps);
      }
#end
#for i < loads
      w$i = load_w(panel$i, turn, unit$i);
#end
    }
    if (turn > begin) {
      for (var k = 0u; k < 16u; k += 4u) {
#for k < 4
        let i$k = (1u - stage) * 16u + k + $ku;
        let wa$k = tile_w[i$k * w_row + column];
        let wb$k = tile_w[i$k * w_row + column + w_half];
#for h < 2
        let x$k_$h = tile_x[i$k * x_row + row_fours + $hu];
#for r < 4
        a$h_$r = fma(vec4f(x$k_$h[$r]), wa$k, a$h_$r);
        b$h_$r = fma(vec4f(x$k_$h[$r]), wb$k, b$h_$r);
#end
#end
#end
      }
    }
    if (turn < end) {
      let inputs = transpose(mat4x4f(x0, x1, x2, x3));
      let at = (stage * 16u + load_quad * 4u) * x_row + load_four;
#for k < 4
      tile_x[at + $ku * x_row] = inputs[$k];
#end
#for i < loads
      keep_w(stage, input$i, texel$i, w$i);
#end
    }
    workgroupBarrier();
  }

  let n = first_n + column * 8u;
  if (part >= shape.parts) {
    return;
  }
  // One copy of the code that ends four outputs: compiling costs more than the array.
  var sums = array<vec4f, 16>(
#for h < 2
#for r < 4
    a$h_$r, b$h_$r,
#end
#end
  );
  for (var j = 0u; j < 16u; j++) {
    let m = first_row + row_fours * 4u + j / 2u;
    let to = n + j % 2u * 4u;
    if (m < shape.rows && to < shape.outputs) {
#if ends
      finish(m, to, sums[j]);
#else
      let fours = (shape.outputs + 3u) / 4u;
      y[(part * shape.rows + m) * fours + to / 4u] = sums[j];
#end
    }
  }
}
#end
