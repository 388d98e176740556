// One layer's rows between the caches and a slice: the row of each token's slot.
//
// Grid: x, y: one lane per token and 16 bytes of its row; z: 0 keys, 1 values.
//   tokens    [rows][8]: {slot, ...}
//   keys      [slots][row]: 16 bytes each, whatever they hold; values likewise
//   slice     [layers][2][rows][row]

struct Sizes {
  rows: u32,
  // Length of a row; where each tensor starts, the slice at this layer.
  row: u32,
  tokens: u32,
  keys: u32,
  values: u32,
  slice: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> tokens: array<i32>;
@group(0) @binding(2) var<storage, {{cache_access}}> keys: array<vec4u>;
@group(0) @binding(3) var<storage, {{cache_access}}> values: array<vec4u>;
@group(0) @binding(4) var<storage, {{slice_access}}> slice: array<vec4u>;

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let i = id.y * groups.x * {{lanes}}u + id.x;
  if (i >= sizes.rows * sizes.row) {
    return;
  }
  let slot = u32(tokens[sizes.tokens + i / sizes.row * 8u]);
  let at = slot * sizes.row + i % sizes.row;
  let in_slice = sizes.slice + id.z * sizes.rows * sizes.row + i;
  if (id.z == 0u) {
    let in_cache = sizes.keys + at;
    {{move_keys}}
  } else {
    let in_cache = sizes.values + at;
    {{move_values}}
  }
}
