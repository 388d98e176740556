// RMSNorm over channels at every position, or nothing, and then an activation, or nothing (see channel_norm.ts).
// In units of {{values}} values: x [positions][units],
// weight [units], y [positions][units]; each from where `sizes` says.

{{sizes}}
@group(0) @binding(1) {{x}}
@group(0) @binding(2) var<storage, read_write> y: array<{{type}}>;
#if normed
@group(0) @binding(3) {{weight}}
#end

{{readers}}

{{activate}}

#items position < sizes.positions
  let from_x = sizes.x + position * sizes.units;
  let to = sizes.y + position * sizes.units;
#if normed
  var squares = 0.0;
  for (var c = 0u; c < sizes.units; c++) {
    let v = x_at(from_x + c);
#if vector
    squares += dot(v, v);
#else
    squares += v * v;
#end
  }
  let scale = 1.0 / sqrt(squares / f32(sizes.channels) + sizes.eps);
#end
  for (var c = 0u; c < sizes.units; c++) {
    var v = x_at(from_x + c);
#if normed
    v = v * scale * weight_at(sizes.weight + c);
#end
    v = activate(v);
    y[to + c] = v;
  }
#end
