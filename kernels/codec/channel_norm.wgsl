// RMSNorm over channels at every position, or nothing, and then SiLU, or nothing (see channel_norm.ts).
//
// Grid: one invocation per position. In units of {{values}} values: x image [positions][units] from
// `x_at`, weight in the same image [units] from `weight_at`, y [positions][units] from `y_at`.

{{sizes}}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) {{x}}
@group(0) @binding(2) var<storage, read_write> y: array<{{type}}>;

{{reader}}

@compute @workgroup_size({{workgroup}})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let position = id.y * groups.x * {{workgroup}}u + id.x;
  if (position >= sizes.positions) {
    return;
  }
  let source = sizes.x_at + position * sizes.units;
  let to = sizes.y_at + position * sizes.units;
{{scale}}
  for (var c = 0u; c < sizes.units; c++) {
    {{body}}
  }
}
