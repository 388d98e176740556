// Sinusoidal features of tau (see embed.ts).
//
//   tau [count], turns [half] (turns per unit of tau), y [count][2 half]: cosines, then sines

{{sizes}}
@group(0) @binding(1) var<storage, read> tau: array<f32>;
@group(0) @binding(2) var<storage, read> turns: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

#items item < sizes.count * sizes.half
  let row = item / sizes.half;
  let i = item % sizes.half;
  // Whole turns are taken off first: cosines of large angles are poor on some adapters.
  let angle = 6.283185307179586 * fract(tau[row] * turns[i]);
  let at = sizes.y + row * sizes.half * 2u + i;
  y[at] = cos(angle);
  y[at + sizes.half] = sin(angle);
#end
