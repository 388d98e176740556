// The part of sample.wgsl that draws instead of taking the largest logit.

// Floats as words of the same order.
fn ordered(value: vec4f) -> vec4u {
  let bits = bitcast<vec4u>(value);
  return select(bits | vec4u(0x80000000u), ~bits, bits >= vec4u(0x80000000u));
}

// How many logits (or how much of the softmax, times a constant) reach a threshold. Sums of the same
// terms in the same order: a lower threshold never gives less.
fn reaching(lane: u32, threshold: u32, largest: f32, by_count: bool) -> f32 {
  let quads = (sizes.vocabulary + 3u) / 4u;
  var sum = vec4f();
  for (var quad = lane; quad < quads; quad += {{lanes}}u) {
    let value = quad_of(quad);
    let there = quad * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(sizes.vocabulary);
    let mass = select(exp((value - largest) * sizes.inverse_temperature), vec4f(1.0), by_count);
    sum += select(vec4f(), mass, (ordered(value) >= vec4u(threshold)) & there);
  }
  values[lane] = dot(sum, vec4f(1.0));
  workgroupBarrier();
  var all = 0.0;
  for (var j = 0u; j < {{lanes}}u; j++) {
    all += values[j];
  }
  workgroupBarrier();
  return all;
}

// The highest threshold, at least `floor`, that `wanted` still reaches: bisection over all floats.
fn threshold_for(lane: u32, floor: u32, wanted: f32, largest: f32, by_count: bool) -> u32 {
  var low = floor;
  var high = 0xffffffffu;
  for (var step = 0u; step < 32u; step++) {
    let middle = low + (high - low) / 2u;
    if (reaching(lane, middle, largest, by_count) >= wanted) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// -log(-log(u)) for four uniform words: the largest of logit + noise is a draw from the softmax.
// -log(u) is taken near u = 1 from 1 - u, where the large noise comes from.
fn gumbel(words: vec4u) -> vec4f {
  let v = min((vec4f(words) + 0.5) * 0x1p-32f, vec4f(0x1.fffffep-1f));
  return -log(select(-log(1.0 - v), v * (1.0 + 0.5 * v), v < vec4f(1e-3)));
}

fn draw(lane: u32, threshold: u32) -> Best {
  let quads = (sizes.vocabulary + 3u) / 4u;
  var mine = Best(lowest, sizes.vocabulary);
  for (var quad = lane; quad < quads; quad += {{lanes}}u) {
    let value = quad_of(quad);
    let counter = vec4u(unit[sizes.unit], sizes.slot, quad, {{stream}}u);
    let noise = gumbel(philox(counter, sizes.key));
    let score = value * sizes.inverse_temperature + noise;
    let kept = ordered(value) >= vec4u(threshold);
    for (var c = 0u; c < 4u; c++) {
      if (kept[c] && quad * 4u + c < sizes.vocabulary) {
        mine = better(mine, Best(score[c], quad * 4u + c));
      }
    }
  }
  return join(lane, mine);
}
