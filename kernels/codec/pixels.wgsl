// Packed RGB24 bytes to values in [-1, 1] and back, and samples clamped (see pixels.ts).
//
// Grid: one invocation per word of four bytes, or per four samples.

{{sizes}}

@group(0) @binding(0) var<uniform> sizes: Sizes;
{{bindings}}

{{readers}}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let word = id.y * groups.x * 64u + id.x;
  let first = word * 4u;
  if (first >= sizes.count) {
    return;
  }
{{body}}
}
