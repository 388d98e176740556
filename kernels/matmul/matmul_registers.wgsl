// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias), f the activation or the gate, summed in
// registers. See matmul_registers.ts for the tile.
//
// Grid: {{split}} invocations per {{tile}} rows x 8 outputs, neighbours along the inputs, then the outputs.
//   x         [rows][inputs] in vec4, from `sizes.x`
//   weight    panels of 8 outputs (packed_weight.ts)
//   y         [rows][stride], from `sizes.y`
//   bias      [outputs]; anything where `has_bias` is 0

{{sizes}}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) {{x}}
@group(0) @binding(2) {{weight}}
@group(0) @binding(3) var<storage, read_write> y: array<{{y_type}}>;
@group(0) @binding(4) var<storage, read> bias: array<{{y_type}}>;
{{shared}}

{{readers}}

{{finish}}

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
{{start}}
{{sum}}
{{end}}
}
