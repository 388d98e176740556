// One layer's rows between the caches and a slice: the row of each token's slot.
//
//   token_table [rows][8]: {slot, ...}
//   keys      [slots][row]: 16 bytes each, whatever they hold; values likewise
//   slice     [layers][2][rows][row]

{{sizes}}
@group(0) @binding(1) var<storage, read> token_table: array<i32>;
@group(0) @binding(2) var<storage, {{caches}}> keys: array<vec4u>;
@group(0) @binding(3) var<storage, {{caches}}> values: array<vec4u>;
@group(0) @binding(4) var<storage, {{slice}}> slice: array<vec4u>;

#items i < 2u * sizes.rows * sizes.row
  let token = i / sizes.row % sizes.rows;
  let at = u32(token_table[sizes.token_table + token * 8u]) * sizes.row + i % sizes.row;
  if (i < sizes.rows * sizes.row) {
#if gather
    slice[sizes.slice + i] = keys[sizes.keys + at];
#else
    keys[sizes.keys + at] = slice[sizes.slice + i];
#end
  } else {
#if gather
    slice[sizes.slice + i] = values[sizes.values + at];
#else
    values[sizes.values + at] = slice[sizes.slice + i];
#end
  }
#end
