// Rows of x in 8 bits: per row and block of 32 inputs three texels,
//   {q[0..4), ..., q[12..16)}, {q[16..20), ..., q[28..32)}, {scale, sum of x^2, sum of q, 0}
// q whole numbers from -127 to 127, four to a word, x = scale q; floats as their bits. Zeros fill up
// the last block.
//
// Grid: an invocation per row and block.

struct Sizes {
  rows: u32,
  // Groups of four inputs; where x starts, in vec4.
  quads: u32,
  x: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> quantized: array<vec4u>;

@compute @workgroup_size({{lanes}})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let item = id.y * groups.x * {{lanes}}u + id.x;
  let blocks = (sizes.quads + 7u) / 8u;
  if (item >= sizes.rows * blocks) {
    return;
  }
  let first = item % blocks * 8u;
  let start = sizes.x + item / blocks * sizes.quads;
{{load}}
  var largest = vec4f();
  var squares = vec4f();
{{measure}}
  let most = max(max(largest.x, largest.y), max(largest.z, largest.w));
  let scale = most / 127.0;
  let inverse = select(0.0, 127.0 / most, most > 0.0);
  var sum = vec4i();
{{round}}
  quantized[item * 3u] = vec4u({{low}});
  quantized[item * 3u + 1u] = vec4u({{high}});
  quantized[item * 3u + 2u] = vec4u(
    bitcast<u32>(scale),
    bitcast<u32>(dot(squares, vec4f(1.0))),
    bitcast<u32>(sum.x + sum.y + sum.z + sum.w),
    0u,
  );
}
