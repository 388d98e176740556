// The last keys and values of a span into the window's past (see window_attention.ts).
// qkv [rows][stride] in vec4, keys from `key` on, then values; keys, values [past][width] in vec4: frame t
// of a stream lies in row t % past; seen [1]; each from where `sizes` says.

{{sizes}}
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> seen: array<u32>;
@group(0) @binding(3) var<storage, read_write> keys: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> values: array<vec4f>;

#items item < min(sizes.rows, sizes.past) * sizes.width
  let i = item % sizes.width;
  let row = sizes.rows - 1u - item / sizes.width;
  let from_row = sizes.qkv + row * sizes.stride + sizes.key + i;
  let to = (seen[sizes.seen] + row) % sizes.past * sizes.width + i;
  keys[sizes.keys + to] = qkv[from_row];
  values[sizes.values + to] = qkv[from_row + sizes.width];
#end
