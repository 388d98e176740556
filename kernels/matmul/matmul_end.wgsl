// How every form of the matrix product ends: norm, gate, bias, activation, and y = or y +=.

// The scale of an RMSNorm; 1 where there is none.
fn norm_scale(squares: f32) -> f32 {
#if normed
  return 1.0 / sqrt(squares / (4.0 * f32(sizes.quads)) + sizes.eps);
#else
  return 1.0;
#end
}

{{activate}}

// Ends one element or vec4 of y: bias, activation, factor, and y = or y +=.
fn store(row: u32, column: u32, sum: {{y_type}}) {
  var value = sum;
#if has_bias
  value += bias[sizes.bias + column];
#end
  value = activate(value);
  value *= sizes.factor;
  let at = sizes.y + row * sizes.stride + column;
#if accumulate
  value += y[at];
#end
  y[at] = value;
}

// Ends four elements of a row, of those that lie in the product.
fn end_four(row: u32, column: u32, value: vec4f) {
  if (column < sizes.outputs) {
#if scalar
    for (var c = 0u; c < min(4u, sizes.outputs - column); c++) {
      store(row, column + c, value[c]);
    }
#else
    store(row, column / 4u, value);
#end
  }
}

// Ends the rows of a tile, two sums per row, of which those are stored that lie in the product. One copy
// of the code that ends a row, not one per row: compiling costs more than the array.
fn end_tile(row: u32, panel: u32, sums: ptr<function, array<vec4f, {{sums}}>>) {
  let count = min({{sums}}u, (max(row, sizes.rows) - row) * 2u);
#if gated
  for (var j = 0u; j < count; j += 2u) {
    let value = (*sums)[j];
    end_four(row + j / 2u, panel * 4u, value / (1.0 + exp(-value)) * (*sums)[j + 1u]);
  }
#else
  for (var j = 0u; j < count; j++) {
    end_four(row + j / 2u, panel * 8u + j % 2u * 4u, (*sums)[j]);
  }
#end
}
