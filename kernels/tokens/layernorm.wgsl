// y = (x - mean) / sqrt(variance + eps) * weight + bias, row by row (see layernorm.ts).
//
// Grid: one workgroup per row.
//   x, y          [rows][quads] vec4
//   weight, bias  [quads] vec4; each from where `sizes` says

{{sizes}}
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;

var<workgroup> partial: array<f32, {{lanes}}>;

// The sum of what all lanes give.
fn total(lane: u32, own: f32) -> f32 {
  workgroupBarrier();
  partial[lane] = own;
  workgroupBarrier();
  var sum = 0.0;
  for (var j = 0u; j < {{lanes}}u; j++) {
    sum += partial[j];
  }
  return sum;
}

@compute @workgroup_size({{lanes}})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let start = group.x * sizes.quads;
  let count = 4.0 * f32(sizes.quads);
  // The invocation's share of the row, read once.
  var values: array<vec4f, {{share}}>;
  var sum = 0.0;
  for (var j = 0u; j < {{share}}u; j++) {
    let i = lane + j * {{lanes}}u;
    if (i < sizes.quads) {
      values[j] = x[sizes.x + start + i];
      sum += dot(values[j], vec4f(1.0));
    }
  }
  let mean = total(lane, sum) / count;
  var squares = 0.0;
  for (var j = 0u; j < {{share}}u; j++) {
    if (lane + j * {{lanes}}u < sizes.quads) {
      values[j] -= mean;
      squares += dot(values[j], values[j]);
    }
  }
  let scale = 1.0 / sqrt(total(lane, squares) / count + sizes.eps);
  for (var j = 0u; j < {{share}}u; j++) {
    let i = lane + j * {{lanes}}u;
    if (i < sizes.quads) {
      y[sizes.y + start + i] = values[j] * scale * weight[sizes.weight + i] + bias[sizes.bias + i];
    }
  }
}
