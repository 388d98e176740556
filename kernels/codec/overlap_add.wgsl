// y[t hop + i] = x[t][i] + x[t - 1][hop + i], where `tail` stands for x[-1] (see overlap_add.ts).
// x [frames][2 hop], tail [hop], y [frames hop]; from their offsets.

{{sizes}}
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> tail: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

#items sample < sizes.samples
  let frame = sample / sizes.hop;
  let i = sample % sizes.hop;
  var before = 0.0;
  if (frame == 0u) {
    before = tail[sizes.tail_at + i];
  } else {
    before = x[sizes.x_at + (2u * frame - 1u) * sizes.hop + i];
  }
  y[sizes.y_at + sample] = x[sizes.x_at + 2u * frame * sizes.hop + i] + before;
#end
