// Philox4x32-10, a counter-based generator: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
// easy as 1, 2, 3" (SC 2011). Text that other kernels put before their own code.

// High and low word of a product of two words.
fn philox_multiply(a: u32, b: u32) -> vec2u {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let cross = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let middle = (a & 0xffffu) * (b >> 16u) + (cross & 0xffffu);
  return vec2u((a >> 16u) * (b >> 16u) + (cross >> 16u) + (middle >> 16u), a * b);
}

fn philox_round(counter: vec4u, key: vec2u) -> vec4u {
  let a = philox_multiply(0xd2511f53u, counter.x);
  let b = philox_multiply(0xcd9e8d57u, counter.z);
  return vec4u(b.x ^ counter.y ^ key.x, b.y, a.x ^ counter.w ^ key.y, a.y);
}

// Four random words for a counter and a key.
fn philox(counter: vec4u, key: vec2u) -> vec4u {
  const step = vec2u(0x9e3779b9u, 0xbb67ae85u);
  var c = philox_round(counter, key);
  c = philox_round(c, key + step);
  c = philox_round(c, key + step * 2u);
  c = philox_round(c, key + step * 3u);
  c = philox_round(c, key + step * 4u);
  c = philox_round(c, key + step * 5u);
  c = philox_round(c, key + step * 6u);
  c = philox_round(c, key + step * 7u);
  c = philox_round(c, key + step * 8u);
  return philox_round(c, key + step * 9u);
}

// Uniform numbers inside (0, 1): neither end is ever reached, so logarithms are finite. 23 bits each.
fn philox_uniform(words: vec4u) -> vec4f {
  return (vec4f(words >> vec4u(9u)) + 0.5) * 0x1p-23f;
}

// The logarithm of numbers in (0, 1) to a few units in the last place; WGSL's own may be off by 2^-21
// near 1, and its cosine by 2^-11. ln(m 2^e) = e ln 2 + 2 artanh((m - 1) / (m + 1)), sqrt(1/2) <= m < sqrt(2).
fn philox_log(u: vec2f) -> vec2f {
  let bits = bitcast<vec2u>(u) + vec2u(0x3f800000u - 0x3f3504f3u);
  let e = vec2f(bits >> vec2u(23u)) - 127.0;
  let m = bitcast<vec2f>((bits & vec2u(0x7fffffu)) + vec2u(0x3f3504f3u));
  let s = (m - 1.0) / (m + 1.0);
  let z = s * s;
  let series = ((z * 0.11111111 + 0.14285715) * z + 0.2) * z + 0.33333334;
  return e * 0.6931472 + 2.0 * (s + s * z * series);
}

// The cosine and sine of a number of turns in (0, 1): quarters are taken off exactly, Taylor's series
// do the rest within +-pi / 4.
fn philox_turn(turns: f32) -> vec2f {
  let quarter = floor(turns * 4.0 + 0.5);
  let x = (turns * 4.0 - quarter) * 1.5707964;
  let z = x * x;
  let c = (((z * 2.4801587e-5 - 1.3888889e-3) * z + 4.1666668e-2) * z - 0.5) * z + 1.0;
  let s = (((z * 2.7557319e-6 - 1.984127e-4) * z + 8.3333333e-3) * z - 0.16666667) * z * x + x;
  let swapped = select(vec2f(c, s), vec2f(-s, c), (u32(quarter) & 1u) == 1u);
  return select(swapped, -swapped, (u32(quarter) & 2u) == 2u);
}

// Four standard normal numbers (Box-Muller), in +-5.7, within 3e-6 on every adapter.
fn philox_normal(words: vec4u) -> vec4f {
  let u = philox_uniform(words);
  let radius = sqrt(-2.0 * philox_log(u.xz));
  return vec4f(radius.x * philox_turn(u.y), radius.y * philox_turn(u.w));
}
