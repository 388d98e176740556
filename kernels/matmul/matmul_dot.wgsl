// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias) by the integer dot product of quantized rows and
// quantized weights. See matmul_dot.ts for the tile.
//
// Grid: an invocation per {{tile}} rows x 8 outputs, neighbours along the outputs.
//   x         [rows][blocks] of three texels (quantize_rows.wgsl), from `sizes.x`
//   weight    panels of 8 outputs (packed_weight.ts)
//   y         [rows][stride], from `sizes.y`
//   bias      [outputs]; anything where `has_bias` is 0

{{sizes}}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) {{x}}
@group(0) @binding(2) {{weight}}
@group(0) @binding(3) var<storage, read_write> y: array<{{y_type}}>;
@group(0) @binding(4) var<storage, read> bias: array<{{y_type}}>;

{{reader}}

{{finish}}

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (group.y * groups.x + group.x) * {{lanes}}u + local;
  let panel = item % sizes.panels;
  let row = item / sizes.panels * {{tile}}u;
  let last = sizes.rows - 1u;
  let blocks = (sizes.quads + 7u) / 8u;
{{start}}
  var at = panel * blocks * {{block_texels}}u;
  for (var block = 0u; block < blocks; block++) {
{{scales}}
    at += 1u;
{{zero}}
    for (var half = 0u; half < 2u; half++) {
{{step}}
    }
{{add}}
  }
{{end}}
}
