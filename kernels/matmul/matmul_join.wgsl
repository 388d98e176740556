// Adds the parts of a product that was split along its inputs, and ends it. matmul_end.wgsl stands after
// these bindings and before `main`.
//
//   partials  [parts][rows][2 panels + 1]: sums of every panel's two fours; {squares of x, 0, 0, 0}

{{sizes}}
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<{{y_type}}>;
#if has_bias
@group(0) @binding(3) var<storage, read> bias: array<{{y_type}}>;
#end

{{end}}
#items item < sizes.rows * sizes.panels
  let width = 2u * sizes.panels + 1u;
  let row = item / sizes.panels;
  let panel = item % sizes.panels;
  var sums = array<vec4f, 2>(vec4f(0.0), vec4f(0.0));
  var squares = 0.0;
  for (var part = 0u; part < sizes.parts; part++) {
    let at = (part * sizes.rows + row) * width;
    sums[0] += partials[at + 2u * panel];
    sums[1] += partials[at + 2u * panel + 1u];
    squares += partials[at + width - 1u].x;
  }
  sums[0] *= norm_scale(squares);
  sums[1] *= norm_scale(squares);
  end_tile(row, panel, &sums);
#end
