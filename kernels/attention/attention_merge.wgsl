// Joins the splits of attention.wgsl: a mean of theirs, weighted by each one's sum under one maximum.
//
//   partials  [rows * heads][splits][vectors + 1]: unnormalised sums, then {maximum, sum, 0, 0}
//   results   [rows * heads][vectors]

{{sizes}}
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> results: array<vec4f>;

#items i < sizes.rows * sizes.vectors
  let at = i / sizes.vectors * sizes.splits * (sizes.vectors + 1u);
  var highest = -1e30;
  var sum = 0.0;
  var total = vec4f();
  for (var split = 0u; split < sizes.splits; split++) {
    let part = at + split * (sizes.vectors + 1u);
    let weight = partials[part + sizes.vectors].xy;
    let maximum = max(highest, weight.x);
    let old = exp2(highest - maximum);
    let now = exp2(weight.x - maximum);
    total = total * old + partials[part + i % sizes.vectors] * now;
    sum = sum * old + weight.y * now;
    highest = maximum;
  }
  results[sizes.results + i] = select(vec4f(), total / sum, sum > 0.0);
#end
