// Each row's softmax, in place; what lies past the last position becomes zero (see frame_attention.ts).
// scores [rows][quads].

{{sizes}}
@group(0) @binding(1) var<storage, read_write> scores: array<vec4f>;

#items row < sizes.rows
  let start = row * sizes.quads;
  var most = vec4f(scores[start].x);
  for (var i = 0u; i < sizes.quads; i++) {
    let inside = i * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(sizes.positions);
    most = select(most, max(most, scores[start + i]), inside);
  }
  let top = max(max(most.x, most.y), max(most.z, most.w));
  var sum = vec4f();
  for (var i = 0u; i < sizes.quads; i++) {
    let inside = i * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(sizes.positions);
    let e = select(vec4f(), exp(scores[start + i] - top), inside);
    sum += e;
    scores[start + i] = e;
  }
  let scale = 1.0 / (sum.x + sum.y + sum.z + sum.w);
  for (var i = 0u; i < sizes.quads; i++) {
    scores[start + i] = scores[start + i] * scale;
  }
#end
