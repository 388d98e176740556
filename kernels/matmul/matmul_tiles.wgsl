// y[rows, outputs] (+)= f(x[rows, inputs] W^T + bias) by tiles in workgroup memory. See
// matmul_tiles.ts for the tile.
//
// Grid: a workgroup of 64 per {{rows}} rows x 64 outputs, neighbours along the outputs.
//   x         [rows][inputs] in vec4, from `sizes.x`
//   weight    panels of 8 outputs (packed_weight.ts)
//   y         [rows][stride], from `sizes.y`
//   bias      [outputs]; anything where `has_bias` is 0

{{sizes}}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) {{weight}}
@group(0) @binding(3) var<storage, read_write> y: array<{{y_type}}>;
@group(0) @binding(4) var<storage, read> bias: array<{{y_type}}>;

// Eight groups of four inputs: [row][group], and [group][panel][input][half of the panel].
var<workgroup> tile_x: array<vec4f, {{x_quads}}>;
var<workgroup> tile_w: array<vec4f, 512>;

{{reader}}

{{finish}}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let item = group.y * groups.x + group.x;
  let across = (sizes.panels + 7u) / 8u;
  let first_row = item / across * {{rows}}u;
  let first_panel = item % across * 8u;
  let last = sizes.rows - 1u;
  // What this invocation sums: rows from `row` on of a panel; and what it loads of the weights.
  let row = first_row + local / 8u * {{tile}}u;
  let panel = first_panel + local % 8u;
  let load_panel = min(first_panel + local / 8u, sizes.panels - 1u);
  let load_quad = local % 8u;
  let to_w = (load_quad * 8u + local / 8u) * 8u;
{{start}}
  let blocks = (sizes.quads + 7u) / 8u;
  for (var block = 0u; block < blocks; block++) {
    let quad = block * 8u + load_quad;
    if (quad < sizes.quads) {
{{load}}
    } else {
      for (var k = 0u; k < 8u; k++) {
        tile_w[to_w + k] = vec4f();
      }
    }
    for (var i = local; i < {{x_quads}}u; i += 64u) {
      let column = block * 8u + i % 8u;
      let at = sizes.x + min(first_row + i / 8u, last) * sizes.quads + min(column, sizes.quads - 1u);
      tile_x[i] = select(vec4f(), x[at], column < sizes.quads);
    }
    workgroupBarrier();
    for (var i = 0u; i < 8u; i++) {
{{step}}
    }
    workgroupBarrier();
  }
{{end}}
}
