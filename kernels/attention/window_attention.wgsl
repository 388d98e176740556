// out = softmax(q k^T / sqrt(head_dim)) v over a window of frames that ends with the query's own.
//
// Grid: x: rows; y: heads; one workgroup each, whose lanes part the window's frames and meet once, at the
// end (online softmax in each). A frame's lane depends on how far back it lies, so that sums are the
// same wherever a stream is cut.
//   qkv       [rows][stride] in vec4: q heads, k heads, v heads
//   keys      [past][kv_heads][head_dim] in vec4: frame t of the stream lies in row t % past; values likewise
//   seen      [1]: frames of the stream before these rows
//   out       [rows][heads][head_dim] in vec4

{{sizes}}
@group(0) @binding(1) var<storage, read> seen: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
#if texture
@group(0) @binding(3) {{source}}

{{reader}}

fn qkv_at(i: u32) -> vec4f {
  return source_at(sizes.qkv + i);
}
fn key_at(i: u32) -> vec4f {
  return source_at(sizes.keys + i);
}
fn value_at(i: u32) -> vec4f {
  return source_at(sizes.values + i);
}
#else
@group(0) @binding(3) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(4) var<storage, read> keys: array<vec4f>;
@group(0) @binding(5) var<storage, read> values: array<vec4f>;

fn qkv_at(i: u32) -> vec4f {
  return qkv[sizes.qkv + i];
}
fn key_at(i: u32) -> vec4f {
  return keys[sizes.keys + i];
}
fn value_at(i: u32) -> vec4f {
  return values[sizes.values + i];
}
#end

// By lane: its weighted sum of values, then {maximum, sum of weights, 0, 0}.
var<workgroup> partial: array<vec4f, {{lanes}} * ({{quads}} + 1)>;

@compute @workgroup_size({{lanes}})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let head = group.y;
  let before = seen[sizes.seen];
  let stride = ({{heads}}u + 2u * {{kv_heads}}u) * {{quads}}u;
  let kv = head / ({{heads}}u / {{kv_heads}}u) * {{quads}}u;
  let width = {{kv_heads}}u * {{quads}}u;
  let from_q = row * stride + head * {{quads}}u;
  // Back from the row's own frame, 0.
  let count = min(sizes.past, row + min(before, sizes.past)) + 1u;
#for e < quads
  let q$e = qkv_at(from_q + $eu) * {{scale}};
  var o$e = vec4f();
#end
  var top = -1e30;
  var sum = 0.0;
  for (var back = lane; back < count; back += {{lanes}}u) {
    let inside = back <= row;
    let span_at = (row - min(back, row)) * stride + {{heads}}u * {{quads}}u + kv;
    // `before` is larger than what goes back over the span's start wherever this is read.
    let past_at = (before - (max(back, row) - row)) % sizes.past * width + kv;
#for e < quads
    var k$e = vec4f();
#end
    if (inside) {
#for e < quads
      k$e = qkv_at(span_at + $eu);
#end
    } else {
#for e < quads
      k$e = key_at(past_at + $eu);
#end
    }
    let score = {{sum e < quads: dot(q$e, k$e)}};
    let next = max(top, score);
    let kept = exp2(top - next);
    let weight = exp2(score - next);
    top = next;
    sum = sum * kept + weight;
    if (inside) {
#for e < quads
      o$e = o$e * kept + weight * qkv_at(span_at + width + $eu);
#end
    } else {
#for e < quads
      o$e = o$e * kept + weight * value_at(past_at + $eu);
#end
    }
  }
  let mine = lane * ({{quads}}u + 1u);
#for e < quads
  partial[mine + $eu] = o$e;
#end
  partial[mine + {{quads}}u] = vec4f(top, sum, 0.0, 0.0);
  workgroupBarrier();
  var highest = -1e30;
  for (var l = 0u; l < {{lanes}}u; l++) {
    highest = max(highest, partial[l * ({{quads}}u + 1u) + {{quads}}u].x);
  }
  for (var e = lane; e < {{quads}}u; e += {{lanes}}u) {
    var total = vec4f();
    var weights = 0.0;
    for (var l = 0u; l < {{lanes}}u; l++) {
      let ends = partial[l * ({{quads}}u + 1u) + {{quads}}u];
      let weight = exp2(ends.x - highest);
      weights += ends.y * weight;
      total += partial[l * ({{quads}}u + 1u) + e] * weight;
    }
    out[sizes.out + (row * {{heads}}u + head) * {{quads}}u + e] = total / weights;
  }
}
