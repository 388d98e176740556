// y[row] = table[ids[row]] + add, read from a packed weight's panels (see embed.ts).
// ids [rows] u32, table panels (packed_weight.ts), add [quads] vec4, y [rows][quads] vec4

{{sizes}}
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) {{table}}
@group(0) @binding(3) var<storage, read> add: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

{{reader}}

// Value of a table row at one input.
fn value(row: u32, input: u32) -> f32 {
  let texel = row / 8u * sizes.quads * 4u + input;
  let column = row % 8u;
#if half
  return unpack2x16float(table_at(texel)[column / 2u])[column % 2u];
#else
  return table_at(texel * 2u + column / 4u)[column % 4u];
#end
}

#items i < sizes.rows * sizes.quads
  let quad = i % sizes.quads;
  let row = min(ids[sizes.ids + i / sizes.quads], sizes.last) - sizes.first;
  // Rows of other dispatches wrap round to large numbers or lie past the end.
  if (row < sizes.count) {
    let k = quad * 4u;
    let values = vec4f(value(row, k), value(row, k + 1u), value(row, k + 2u), value(row, k + 3u));
    y[sizes.y + i] = values + add[sizes.add + quad];
  }
#end
