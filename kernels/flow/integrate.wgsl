// y = {{formula}} (see integrate.ts)
//
// Grid: one invocation per element. All tensors f32 [count] from their offsets.

{{terms}}

@group(0) @binding(0) var<uniform> terms: Terms;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
{{bindings}}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 64u + id.x;
  if (i < terms.count) {
    y[terms.y_at + i] = {{sum}};
  }
}
