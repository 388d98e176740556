// Cosine and sine of phases in 2^-32 turns: the nearest quarter turn is taken off in integers, the rest
// (within pi/4) is left to polynomials (Cephes' sinf and cosf): one rounding on every adapter, where
// WGSL promises its own sin only to 2^-11.
struct Rotation {
  cos: vec4f,
  sin: vec4f,
}

fn rotation(phase: vec4u) -> Rotation {
  let quarter = (phase + vec4u(0x20000000u)) >> vec4u(30u);
  let x = vec4f(bitcast<vec4i>(phase - (quarter << vec4u(30u)))) * (6.283185307179586 * 0x1p-32f);
  let y = x * x;
  let s = x + x * y * ((-1.9515295891e-4 * y + 8.3321608736e-3) * y - 1.6666654611e-1);
  let c = 1.0 - 0.5 * y +
    y * y * ((2.443315711809948e-5 * y - 1.388731625493765e-3) * y + 4.166664568298827e-2);
  let swap = (quarter & vec4u(1u)) != vec4u(0u);
  let negative_cos = ((quarter + vec4u(1u)) & vec4u(2u)) != vec4u(0u);
  let negative_sin = (quarter & vec4u(2u)) != vec4u(0u);
  let cosine = select(c, s, swap);
  let sine = select(s, c, swap);
  return Rotation(select(cosine, -cosine, negative_cos), select(sine, -sine, negative_sin));
}

