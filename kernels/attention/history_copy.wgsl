// One layer's rows between the caches and a slice: the row of each token's slot.
//
// Grid: x, y: one lane per token and 16 bytes of its row; z: 0 keys, 1 values.
//   token_table [rows][8]: {slot, ...}
//   keys      [slots][row]: 16 bytes each, whatever they hold; values likewise
//   slice     [layers][2][rows][row]

{{sizes}}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> token_table: array<i32>;
#if gather
@group(0) @binding(2) var<storage, read> keys: array<vec4u>;
@group(0) @binding(3) var<storage, read> values: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> slice: array<vec4u>;
#else
@group(0) @binding(2) var<storage, read_write> keys: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> values: array<vec4u>;
@group(0) @binding(4) var<storage, read> slice: array<vec4u>;
#end

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let i = id.y * groups.x * {{lanes}}u + id.x;
  if (i >= sizes.rows * sizes.row) {
    return;
  }
  let slot = u32(token_table[sizes.token_table + i / sizes.row * 8u]);
  let at = slot * sizes.row + i % sizes.row;
  let in_slice = sizes.slice + id.z * sizes.rows * sizes.row + i;
  if (id.z == 0u) {
    let in_cache = sizes.keys + at;
#if gather
    slice[in_slice] = keys[in_cache];
#else
    keys[in_cache] = slice[in_slice];
#end
  } else {
    let in_cache = sizes.values + at;
#if gather
    slice[in_slice] = values[in_cache];
#else
    values[in_cache] = slice[in_slice];
#end
  }
}
