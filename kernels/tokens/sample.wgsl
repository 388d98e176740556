// One token id from one row of logits (see sample.ts).
//
// Grid: one workgroup of {{lanes}}; each invocation takes every {{lanes}}th group of four logits.
//   logits [vocabulary] from `sizes.logits`, unit [1], id [1]

{{sizes}}
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> unit: array<u32>;
@group(0) @binding(3) var<storage, read_write> id: array<u32>;

// Below every logit: what lies past the end.
const lowest = -3.4e38;

var<workgroup> values: array<f32, {{lanes}}>;
var<workgroup> indices: array<u32, {{lanes}}>;

fn quad_of(quad: u32) -> vec4f {
  let i = quad * 4u + vec4u(0u, 1u, 2u, 3u);
  let at = sizes.logits + min(i, vec4u(sizes.vocabulary - 1u));
  let loaded = vec4f(logits[at.x], logits[at.y], logits[at.z], logits[at.w]);
  return select(vec4f(lowest), loaded, i < vec4u(sizes.vocabulary));
}

struct Best {
  value: f32,
  index: u32,
}

// The larger value; of equals the lower index.
fn better(a: Best, b: Best) -> Best {
  if (b.value > a.value || (b.value == a.value && b.index < a.index)) {
    return b;
  }
  return a;
}

// The best of every invocation's best.
fn join(lane: u32, mine: Best) -> Best {
  values[lane] = mine.value;
  indices[lane] = mine.index;
  workgroupBarrier();
  var best = Best(values[0], indices[0]);
  for (var j = 1u; j < {{lanes}}u; j++) {
    best = better(best, Best(values[j], indices[j]));
  }
  workgroupBarrier();
  return best;
}

#if draws
{{philox}}

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
#end

@compute @workgroup_size({{lanes}})
fn main(@builtin(local_invocation_index) lane: u32) {
  let quads = (sizes.vocabulary + 3u) / 4u;
  var mine = Best(lowest, sizes.vocabulary);
  for (var quad = lane; quad < quads; quad += {{lanes}}u) {
    let value = quad_of(quad);
    for (var c = 0u; c < 4u; c++) {
      mine = better(mine, Best(value[c], quad * 4u + c));
    }
  }
  var best = join(lane, mine);
#if draws
  // Top k and top p raise the threshold that a logit has to reach.
  var threshold = 0u;
#if top_k
  threshold = threshold_for(lane, threshold, f32(sizes.top_k), best.value, true);
#end
#if top_p
  let wanted = sizes.top_p * reaching(lane, threshold, best.value, false);
  threshold = threshold_for(lane, threshold, wanted, best.value, false);
#end
  best = draw(lane, threshold);
#else
  // So that both forms bind the same.
  _ = unit[0];
#end
  if (lane == 0u) {
    id[sizes.id] = min(best.index, sizes.vocabulary - 1u);
  }
}
