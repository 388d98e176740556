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

// Four standard normal numbers (Box-Muller), in +-5.7.
fn philox_normal(words: vec4u) -> vec4f {
  let u = philox_uniform(words);
  let radius = sqrt(-2.0 * log(u.xz));
  let angle = 6.283185307179586 * u.yw;
  return vec4f(radius.x * cos(angle.x), radius.x * sin(angle.x),
    radius.y * cos(angle.y), radius.y * sin(angle.y));
}
