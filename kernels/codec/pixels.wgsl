// Packed RGB24 bytes to values in [-1, 1] and back, and samples clamped (see pixels.ts).
// Words [count / 4] of four bytes, values [count]; x and y from where `sizes` says.

{{sizes}}
@group(0) @binding(1) {{x}}
@group(0) @binding(2) var<storage, read_write> y: array<{{y_type}}>;

{{reader}}

#items word < (sizes.count + 3u) / 4u
  let first = word * 4u;
#if pack
#if vector
  let values = x_at(sizes.x + word);
#else
  let values = vec4f({{list i < 4: x_at(sizes.x + first + $iu)}});
#end
  let v = vec4u(clamp((values + 1.0) * 127.5, vec4f(), vec4f(255.0)) + 0.5);
  // What follows the last value in the texture is none of its bytes.
  let inside = first + vec4u(0u, 1u, 2u, 3u) < vec4u(sizes.count);
  y[sizes.y + word] = pack4xU8(select(vec4u(), v, inside));
#else
#if unpack
  let v = vec4f(unpack4xU8(x_at(sizes.x + word))) / 127.5 - 1.0;
  for (var i = 0u; i < min(4u, sizes.count - first); i++) {
    y[sizes.y + first + i] = v[i];
  }
#else
  for (var i = first; i < min(first + 4u, sizes.count); i++) {
    y[sizes.y + i] = clamp(x_at(sizes.x + i), -1.0, 1.0);
  }
#end
#end
#end
