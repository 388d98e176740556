// y = x scale + shift per channel (see channel_scale.ts).
// x [positions][inputs], scale and shift [outputs], y [positions][outputs]; each from where `sizes` says.

{{sizes}}
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> shift: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

#items item < sizes.count
  let c = item % sizes.outputs;
  let v = x[sizes.x_at + item / sizes.outputs * sizes.inputs + c];
  y[sizes.y_at + item] = v * scale[sizes.scale_at + c] + shift[sizes.shift_at + c];
#end
