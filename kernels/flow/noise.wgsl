// Standard normal noise (see noise.ts; philox.wgsl stands before this text).
// y [count] from `offset`.

{{settings}}
@group(0) @binding(1) var<storage, read> unit: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

#items four < (settings.count + 3u) / 4u
  let first = four * 4u;
  let counter = vec4u(unit[settings.unit_at], 0u, four, settings.stream);
  let normal = philox_normal(philox(counter, settings.key));
  for (var i = 0u; i < min(4u, settings.count - first); i++) {
    y[settings.offset + first + i] = normal[i];
  }
#end
