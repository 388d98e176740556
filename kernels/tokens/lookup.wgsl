// Sums of codebooks' entries (see nearest.ts).
// codes [rows][books], of which `count` from `first` on are read; entries [count][entries][quads] in vec4;
// y [rows][quads] in vec4; each from where `sizes` says.

{{sizes}}
@group(0) @binding(1) var<storage, read> codes: array<f32>;
@group(0) @binding(2) var<storage, read> entries: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

#items item < sizes.rows * sizes.quads
  let row = item / sizes.quads;
  var sum = vec4f();
  for (var i = 0u; i < sizes.count; i++) {
    let code = codes[sizes.codes + row * sizes.books + sizes.first + i];
    let entry = u32(clamp(code + 0.5, 0.0, f32(sizes.entries) - 0.5));
    sum += entries[sizes.table + (i * sizes.entries + entry) * sizes.quads + item % sizes.quads];
  }
  y[sizes.y + item] = sum;
#end
