// y[row] = vector (+ add), the same for every row (see embed.ts).
//
// Grid: one invocation per vec4 of y.

{{sizes}}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> vector: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
#if adds
@group(0) @binding(3) var<storage, read> add: array<vec4f>;
#end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 64u + id.x;
  if (i < sizes.rows * sizes.quads) {
    let quad = i % sizes.quads;
    var value = vector[sizes.vector + quad];
#if adds
    value += add[sizes.add + quad];
#end
    y[sizes.y + i] = value;
  }
}
