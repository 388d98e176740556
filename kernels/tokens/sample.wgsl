// One token id from one row of logits (see sample.ts).
//
// Grid: one workgroup of {{lanes}}; each invocation takes every {{lanes}}th group of four logits.
//   logits [vocabulary] from `sizes.logits`, unit [1], id [1]

{{sizes}}

@group(0) @binding(0) var<uniform> sizes: Sizes;
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

{{sampling}}

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
{{choose}}
  if (lane == 0u) {
    id[sizes.id] = min(best.index, sizes.vocabulary - 1u);
  }
}
