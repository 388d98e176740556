// y[row] = vector (+ add), the same for every row (see embed.ts).

{{sizes}}
@group(0) @binding(1) var<storage, read> vector: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
#if adds
@group(0) @binding(3) var<storage, read> add: array<vec4f>;
#end

#items i < sizes.rows * sizes.quads
  let quad = i % sizes.quads;
  var value = vector[sizes.vector + quad];
#if adds
  value += add[sizes.add + quad];
#end
  y[sizes.y + i] = value;
#end
