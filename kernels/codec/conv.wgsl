// 3-D convolution, causal in time, as an implicit matrix product (see conv.ts).
//
// Grid: one invocation per {{tile}} positions x {{columns}} output channels; neighbours take neighbouring panels
// of channels. Units of all offsets and strides into `x` are texels: 4 values, or 1 (`scalar`).
//
//   x       image: [state ++ x] flat from texel `origin`, and the tensor to add from `add`
//   weight  image: by panel: bias, then [taps][run][{{columns}}]
//   y       [rows][outputs]

struct Shape {
  // Positions to compute and panels of output channels.
  rows: u32,
  panels: u32,
  outputs: u32,
  y_offset: u32,
  // Extents of the output (per frame, per line) and of the input.
  plane: u32,
  line: u32,
  height: u32,
  width: u32,
  // Kernel: taps, input positions between them, zeros before the first, steps between outputs.
  taps_t: u32,
  taps_h: u32,
  taps_w: u32,
  dilation: u32,
  pad_h: u32,
  pad_w: u32,
  step_t: u32,
  step_h: u32,
  step_w: u32,
  // Texels of one run of values that a tap reads, values in it, texels from one frame, line and
  // position to the next.
  run: u32,
  run_values: u32,
  frame_texels: u32,
  line_texels: u32,
  position_texels: u32,
  origin: u32,
  add: u32,
  silu: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) {{x}}
@group(0) @binding(2) {{weight}}
@group(0) @binding(3) var<storage, read_write> y: array<{{y_type}}>;

{{readers}}

{{helpers}}

// Ends four outputs from n on at a position.
fn finish(m: u32, n: u32, sum: vec4f) {
  var v = sum;
  if (shape.silu != 0u) {
    v = v / (1.0 + exp(-v));
  }
  let at = m * shape.outputs + n;
  if (shape.add != 0u) {
    v += {{added}};
  }
{{store}}
}

@compute @workgroup_size({{workgroup}})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let item = id.y * groups.x * {{workgroup}}u + id.x;
  let panel = item % shape.panels;
  let first = item / shape.panels * {{tile}}u;
  // Positions past the end compute the last one again and store nothing.
  let last = shape.rows - 1u;
{{rows}}
  var w = panel * ({{bias_texels}}u + shape.taps_t * shape.taps_h * shape.taps_w * {{run_steps}} * {{step_texels}}u);
{{bias}}
  w += {{bias_texels}}u;
  for (var dt = 0u; dt < shape.taps_t; dt++) {
    for (var dh = 0u; dh < shape.taps_h; dh++) {
      for (var dw = 0u; dw < shape.taps_w; dw++) {
        // What lies outside the picture is read in row 0 of the image, which is zero.
{{addresses}}
        for (var c = 0u; c < shape.run; c += {{step}}u) {
{{weights}}
{{products}}
          w += {{step_texels}}u;
        }
      }
    }
  }
  // One copy of the code that ends a position, not {{tile}}: compiling costs more than this array.
  var sums = array<vec4f, {{sums}}>({{list}});
  for (var i = 0u; i < {{sums}}u; i++) {
    let m = first + i / {{quads}}u;
    let n = panel * {{columns}}u + i % {{quads}}u * 4u;
    if (m < shape.rows && n < shape.outputs) {
      finish(m, n, sums[i]);
    }
  }
}
