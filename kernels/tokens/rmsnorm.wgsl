// y = x / sqrt(mean(x^2) + eps) * weight, row by row (see rmsnorm.ts).
//
// Grid: one workgroup per row.
//   x, y      [rows][quads] vec4, from `sizes.x` and `sizes.y`
//   weight    [quads] vec4

{{sizes}}
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

var<workgroup> partial: array<f32, {{lanes}}>;

@compute @workgroup_size({{lanes}})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let start = group.x * sizes.quads;
  // The invocation's share of the row, read once.
  var values: array<vec4f, {{share}}>;
  var squares = vec4f();
  for (var j = 0u; j < {{share}}u; j++) {
    let i = lane + j * {{lanes}}u;
    if (i < sizes.quads) {
      let value = x[sizes.x + start + i];
      values[j] = value;
      squares += value * value;
    }
  }
  partial[lane] = dot(squares, vec4f(1.0));
  workgroupBarrier();
  var sum = 0.0;
  for (var j = 0u; j < {{lanes}}u; j++) {
    sum += partial[j];
  }
  let scale = 1.0 / sqrt(sum / (4.0 * f32(sizes.quads)) + sizes.eps);
  for (var j = 0u; j < {{share}}u; j++) {
    let i = lane + j * {{lanes}}u;
    if (i < sizes.quads) {
      y[sizes.y + start + i] = values[j] * scale * weight[sizes.weight + i];
    }
  }
}
