// state[s] = state[s + frames], for frames that are fewer than the state's: a column at a time, in
// place, ascending; what lies past the state's end comes from x (see carry.ts).
// state [kept][columns], x [frames][columns]; from their offsets.

{{sizes}}
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> state: array<f32>;

#items column < sizes.columns
  for (var s = 0u; s < sizes.kept; s++) {
    let source = s + sizes.frames;
    var value = 0.0;
    if (source < sizes.kept) {
      value = state[sizes.state_at + source * sizes.columns + column];
    } else {
      value = x[sizes.x_at + (source - sizes.kept) * sizes.columns + column];
    }
    state[sizes.state_at + s * sizes.columns + column] = value;
  }
#end
