// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias) + residual. See matmul.ts for the tile.
//
// Grid: one invocation per {{tile}} rows x 8 outputs, neighbours along the outputs.
//   x         [rows][inputs] in vec4, from `sizes.x`
//   weight    [panels][inputs][8]: two vec4 of floats, or one vec4 of eight halves, per input
//   y         [rows][stride], from `sizes.y`
//   bias      [outputs], residual [rows][stride]; anything where the flags don't ask for them

struct Sizes {
  rows: u32,
  panels: u32,
  // Groups of four inputs.
  quads: u32,
  // Outputs of this dispatch.
  outputs: u32,
  // In vec4: where x, y, bias and residual start, and their rows' length ({{unit}} each for y's).
  x: u32,
  y: u32,
  stride: u32,
  bias: u32,
  residual: u32,
  has_bias: u32,
  has_residual: u32,
  accumulate: u32,
  silu: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) {{x}}
@group(0) @binding(2) {{weight}}
@group(0) @binding(3) var<storage, read_write> y: array<{{y_type}}>;
@group(0) @binding(4) var<storage, read> bias: array<{{y_type}}>;
@group(0) @binding(5) var<storage, read> residual: array<{{y_type}}>;

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
  // One copy of the code that ends a row, not {{tile}}: compiling costs more than this array.
  var sums = array<vec4f, {{sums}}>({{list}});
  let count = min({{sums}}u, (max(row, sizes.rows) - row) * 2u);
  for (var j = 0u; j < count; j++) {
    let column = panel * 8u + j % 2u * 4u;
    if (column < sizes.outputs) {
      finish(row + j / 2u, column, sums[j]);
    }
  }
}
