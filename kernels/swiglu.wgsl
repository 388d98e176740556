// y = silu(gate) * up, both halves of a row of x (see swiglu.ts).
//
// Grid: one invocation per vec4 of y.
//   x [rows][2 quads] vec4: gate, then up;  y [rows][quads] vec4

struct Sizes {
  rows: u32,
  // All in vec4.
  quads: u32,
  x: u32,
  y: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 64u + id.x;
  if (i < sizes.rows * sizes.quads) {
    let at = sizes.x + i + i / sizes.quads * sizes.quads;
    let gate = x[at];
    y[sizes.y + i] = gate / (1.0 + exp(-gate)) * x[at + sizes.quads];
  }
}
