// What stands before attention: RMSNorm (if `norm`) and rotary position on every head of q and k; q goes to a
// tensor of its own, k and v go into the history's caches.
//
// Grid: x: rows, one lane each; y: heads of a row of qkv (q | k | v).
//   qkv       [rows][heads + 2 kv_heads][head_dim] in vec4
//   q_norm    [head_dim] in vec4, k_norm likewise
//   turns     [head_dim / 2] in vec4: turns of each pair per position, times 2^32; axes likewise
//   token_table [rows][8]: {slot, limit, own, time, height, width, 0, 0}
//   q         [rows][heads][head_dim] in vec4
//   keys      [slots][kv_heads][head_dim] in vec4, or in pairs of words with two halves each; values
//             likewise
// Weights, turns and axes are uniforms: on llvmpipe a load from a storage buffer takes 30 times as long.

{{sizes}}
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<uniform> q_norm: array<vec4f, {{vectors}}>;
@group(0) @binding(3) var<uniform> k_norm: array<vec4f, {{vectors}}>;
@group(0) @binding(4) var<uniform> turns: array<vec4u, {{vectors}} / 2>;
@group(0) @binding(5) var<uniform> axes: array<vec4u, {{vectors}} / 2>;
@group(0) @binding(6) var<storage, read> token_table: array<vec4i>;
@group(0) @binding(7) var<storage, read_write> q: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> keys: array<{{cache}}>;
@group(0) @binding(9) var<storage, read_write> values: array<{{cache}}>;

@compute @workgroup_size({{lanes}})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.x * {{lanes}}u + local;
  if (row >= sizes.rows) {
    return;
  }
  let head = group.y;
  let is_query = head < {{heads}}u;
  let is_value = head >= {{heads}}u + {{kv_heads}}u;
  let from_qkv = sizes.qkv + (row * ({{heads}}u + 2u * {{kv_heads}}u) + head) * sizes.vectors;
#if norm
  var sum = 0.0;
  for (var j = 0u; j < sizes.vectors; j++) {
    let x = qkv[from_qkv + j];
    sum += dot(x, x);
  }
  let scale = inverseSqrt(sum / f32(4u * sizes.vectors) + sizes.eps);
#else
  let scale = 1.0;
#end

  let sight = token_table[sizes.token_table + row * 2u];
  let place = token_table[sizes.token_table + row * 2u + 1u];
  let time = vec4u(u32(sight.w));
  let height = vec4u(u32(place.x));
  let width = vec4u(u32(place.y));
  let kv_head = (head - {{heads}}u) % {{kv_heads}}u;
  let to_q = sizes.q + (row * {{heads}}u + head) * sizes.vectors;
  let to_cache = (u32(sight.x) * {{kv_heads}}u + kv_head) * sizes.vectors;
  for (var i = 0u; i < sizes.vectors / 2u; i++) {
    let j = i + sizes.vectors / 2u;
    var a = qkv[from_qkv + i];
    var b = qkv[from_qkv + j];
    if (!is_value) {
      let axis = axes[i];
      let position = select(select(time, height, axis == vec4u(1u)), width, axis == vec4u(2u));
      let turn = rotation(turns[i] * position);
      let c = a * scale * select(k_norm[i], q_norm[i], is_query);
      let d = b * scale * select(k_norm[j], q_norm[j], is_query);
      a = c * turn.cos - d * turn.sin;
      b = d * turn.cos + c * turn.sin;
    }
    if (is_query) {
      q[to_q + i] = a;
      q[to_q + j] = b;
    } else {
#if half
      let first = vec2u(pack2x16float(a.xy), pack2x16float(a.zw));
      let second = vec2u(pack2x16float(b.xy), pack2x16float(b.zw));
#else
      let first = a;
      let second = b;
#end
      if (is_value) {
        values[sizes.values + to_cache + i] = first;
        values[sizes.values + to_cache + j] = second;
      } else {
        keys[sizes.keys + to_cache + i] = first;
        keys[sizes.keys + to_cache + j] = second;
      }
    }
  }
}
