// Blocks of time, height and width into channels or back: a strided copy (see shuffle.ts).
//
// Grid: one invocation per run of neighbouring outputs. The output is [outer][inner], row-major; its
// element's place in x is the sum of index x stride.

struct Copy {
  runs: u32,
  // Values of a run, and the extents of its inner two dimensions.
  run: u32,
  inner_1: u32,
  inner_2: u32,
  // Extents of the outer dimensions but the first, and the strides of all.
  outer_1: u32,
  outer_2: u32,
  outer_3: u32,
  outer_4: u32,
  stride_0: u32,
  stride_1: u32,
  stride_2: u32,
  stride_3: u32,
  stride_4: u32,
  // Strides of the inner three dimensions.
  step_0: u32,
  step_1: u32,
  step_2: u32,
  y_at: u32,
}

@group(0) @binding(0) var<uniform> sizes: Copy;
@group(0) @binding(1) {{x}}
@group(0) @binding(2) var<storage, read_write> y: array<{{y_type}}>;

{{reader}}

@compute @workgroup_size({{workgroup}})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let item = id.y * groups.x * {{workgroup}}u + id.x;
  if (item >= sizes.runs) {
    return;
  }
  var outer = item;
  var source = {{start}}u + outer % sizes.outer_4 * sizes.stride_4;
  outer /= sizes.outer_4;
  source += outer % sizes.outer_3 * sizes.stride_3;
  outer /= sizes.outer_3;
  source += outer % sizes.outer_2 * sizes.stride_2;
  outer /= sizes.outer_2;
  source += outer % sizes.outer_1 * sizes.stride_1 + outer / sizes.outer_1 * sizes.stride_0;
  let to = sizes.y_at + item * sizes.run;
  // The inner index counts along, without divisions.
  var c = 0u;
  var b = 0u;
  var line = source;
  var at = source;
  for (var i = 0u; i < sizes.run; i++) {
{{body}}
  }
}
