// Joins the parts of attention_shares.wgsl: the share of a query's weights that each class of keys gets.
//
//   parts     [parts]: {start, end, class, 0}
//   partials  [parts][queries]: {maximum, sum}
//   results   [queries][classes]

{{sizes}}
@group(0) @binding(1) var<storage, read> parts: array<vec4u>;
@group(0) @binding(2) var<storage, read> partials: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> results: array<f32>;

#items i < sizes.queries * sizes.classes
  let query = i / sizes.classes;
  var highest = -1e30;
  for (var part = 0u; part < sizes.parts; part++) {
    highest = max(highest, partials[part * sizes.queries + query].x);
  }
  var total = 0.0;
  var own = 0.0;
  for (var part = 0u; part < sizes.parts; part++) {
    let partial = partials[part * sizes.queries + query];
    let weight = partial.y * exp2(partial.x - highest);
    total += weight;
    own += select(0.0, weight, parts[sizes.first_part + part].z == i % sizes.classes);
  }
  results[i] = select(0.0, own / total, total > 0.0);
#end
