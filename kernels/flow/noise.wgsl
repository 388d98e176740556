// Standard normal noise (see noise.ts; philox.wgsl stands before this text).
//
// Grid: one invocation per four elements. y [count] from `offset`.

struct Noise {
  key: vec2u,
  count: u32,
  offset: u32,
  unit_at: u32,
  stream: u32,
}

@group(0) @binding(0) var<uniform> noise: Noise;
@group(0) @binding(1) var<storage, read> unit: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let four = id.y * groups.x * 64u + id.x;
  let first = four * 4u;
  if (first >= noise.count) {
    return;
  }
  let counter = vec4u(unit[noise.unit_at], 0u, four, noise.stream);
  let normal = philox_normal(philox(counter, noise.key));
  for (var i = 0u; i < min(4u, noise.count - first); i++) {
    y[noise.offset + first + i] = normal[i];
  }
}
