// Rows of x in 8 bits: per row and block of 32 inputs three texels,
//   {q[0..4), ..., q[12..16)}, {q[16..20), ..., q[28..32)}, {scale, sum of x^2, sum of q, 0}
// q whole numbers from -127 to 127, four to a word, x = scale q; floats as their bits. Zeros fill up
// the last block.
//
//   x          [rows][inputs] in vec4, from `sizes.x`
//   quantized  [rows][blocks][3]

{{sizes}}
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> quantized: array<vec4u>;

#items item < sizes.rows * ((sizes.quads + 7u) / 8u)
  let blocks = (sizes.quads + 7u) / 8u;
  let first = item % blocks * 8u;
  let start = sizes.x + item / blocks * sizes.quads;
  var largest = vec4f();
  var squares = vec4f();
#for j < 8
  let i$j = first + $ju;
  let v$j = select(vec4f(), x[start + min(i$j, sizes.quads - 1u)], i$j < sizes.quads);
  largest = max(largest, abs(v$j));
  squares += v$j * v$j;
#end
  let most = max(max(largest.x, largest.y), max(largest.z, largest.w));
  let scale = most / 127.0;
  let inverse = select(0.0, 127.0 / most, most > 0.0);
  var sum = vec4i();
#for j < 8
  let q$j = vec4i(round(v$j * inverse));
  sum += q$j;
#end
  quantized[item * 3u] = vec4u({{list j < 4: pack4xI8(q$j)}});
  quantized[item * 3u + 1u] = vec4u(pack4xI8(q4), pack4xI8(q5), pack4xI8(q6), pack4xI8(q7));
  quantized[item * 3u + 2u] = vec4u(
    bitcast<u32>(scale),
    bitcast<u32>(dot(squares, vec4f(1.0))),
    bitcast<u32>(sum.x + sum.y + sum.z + sum.w),
    0u,
  );
#end
