// What every form of the matrix product begins with: its bindings, the weights of four inputs, and the
// end of a tile. The form's own text with `main` follows.
//
//   x         x_at(i): a texel, counted from `sizes.x` on (see the form)
//   weight    panels of 8 outputs (packed_weight.ts)
//   y         [rows][stride], from `sizes.y`, in vec4 where rows are whole ones
//   bias      [outputs]

{{sizes}}
@group(0) @binding(1) {{x}}
@group(0) @binding(2) {{weight}}
@group(0) @binding(3) var<storage, read_write> y: array<{{y_type}}>;
#if has_bias
@group(0) @binding(4) var<storage, read> bias: array<{{y_type}}>;
#end

{{readers}}

// Weights of four inputs: column k of `p` has those of input k for a panel's first four outputs, `q`
// for the other four.
struct Quad {
  p: mat4x4f,
  q: mat4x4f,
}

#if quantized
// The scales of a block, by output.
struct Scales {
  p: vec4f,
  q: vec4f,
}

fn scales_at(at: u32) -> Scales {
  let halves = weight_at(at);
  return Scales(
    vec4f(unpack2x16float(halves.x), unpack2x16float(halves.y)),
    vec4f(unpack2x16float(halves.z), unpack2x16float(halves.w)),
  );
}

// Four whole numbers to a word, one word for each output.
struct Packed {
  p: vec4u,
  q: vec4u,
}

fn packed_at(at: u32) -> Packed {
#if int8
  return Packed(weight_at(at), weight_at(at + 1u));
#else
  // Each value plus 8.
  let texel = weight_at(at);
  let low = texel & vec4u(0x0f0f0f0fu);
  let high = (texel >> vec4u(4u)) & vec4u(0x0f0f0f0fu);
  return Packed(vec4u(low.x, high.x, low.y, high.y), vec4u(low.z, high.z, low.w, high.w));
#end
}

fn numbers(word: u32) -> vec4f {
#if int8
  return vec4f(unpack4xI8(word));
#else
  return vec4f(unpack4xU8(word)) - 8.0;
#end
}

fn quad_at(at: u32, scales: Scales) -> Quad {
  let packed = packed_at(at);
  // One vector of four inputs per output; then the other way round, which costs nothing.
  let p = transpose(mat4x4f({{list n < 4: numbers(packed.p[$n])}}));
  let q = transpose(mat4x4f({{list n < 4: numbers(packed.q[$n])}}));
  return Quad(mat4x4f({{list k < 4: p[$k] * scales.p}}), mat4x4f({{list k < 4: q[$k] * scales.q}}));
}
#else
fn quad_at(at: u32) -> Quad {
#if half
#for k < 4
  let w$k = weight_at(at + $ku);
#end
  return Quad(
    mat4x4f({{list k < 4: vec4f(unpack2x16float(w$k.x), unpack2x16float(w$k.y))}}),
    mat4x4f({{list k < 4: vec4f(unpack2x16float(w$k.z), unpack2x16float(w$k.w))}}),
  );
#else
  return Quad(
    mat4x4f({{list k < 4: weight_at(at + 2u * $ku)}}),
    mat4x4f({{list k < 4: weight_at(at + 2u * $ku + 1u)}}),
  );
#end
}
#end
