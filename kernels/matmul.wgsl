// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias), f the activation or the gate. See
// matmul.ts for the tile.
//
// Grid: one invocation per {{tile}} rows x 8 outputs, neighbours along the outputs.
//   x         [rows][inputs] in vec4, from `sizes.x`
//   weight    [panels][inputs][8]: two vec4 of floats, or one vec4 of eight halves, per input
//   y         [rows][stride], from `sizes.y`
//   bias      [outputs]; anything where `has_bias` is 0

struct Sizes {
  rows: u32,
  panels: u32,
  // Groups of four inputs.
  quads: u32,
  // Columns of y in this dispatch.
  outputs: u32,
  // Where x (in vec4), y and bias (in {{unit}}) start, and the length of y's rows.
  x: u32,
  y: u32,
  stride: u32,
  bias: u32,
  has_bias: u32,
  accumulate: u32,
  silu: u32,
  gated: u32,
  eps: f32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) {{x}}
@group(0) @binding(2) {{weight}}
@group(0) @binding(3) var<storage, read_write> y: array<{{y_type}}>;
@group(0) @binding(4) var<storage, read> bias: array<{{y_type}}>;

{{readers}}

{{finish}}

@compute @workgroup_size({{workgroup}})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let item = id.y * groups.x * {{workgroup}}u + id.x;
  // Invocations past the end compute the last row again and store nothing: an early return would mask
  // every load and store after it, which llvmpipe takes 1.6 times as long to compile.
  let panel = item % sizes.panels;
  let row = item / sizes.panels * {{tile}}u;
  let last = sizes.rows - 1u;
{{start}}
  var at = panel * sizes.quads * {{texels}}u;
  for (var i = 0u; i < sizes.quads; i++) {
{{step}}
    at += {{texels}}u;
  }
{{scale}}
  // One copy of the code that ends a row, not {{tile}}: compiling costs more than this array.
  var sums = array<vec4f, {{sums}}>({{list}});
  let count = min({{sums}}u, (max(row, sizes.rows) - row) * 2u);
  for (var j = 0u; j < count; j += 1u + sizes.gated) {
    var column = panel * 8u + j % 2u * 4u;
    var value = sums[j];
    if (sizes.gated != 0u) {
      column = panel * 4u;
      value = value / (1.0 + exp(-value)) * sums[j + 1u];
    }
    if (column < sizes.outputs) {
      finish(row + j / 2u, column, value);
    }
  }
}
