// Layers of the backbone over a few rows, one workgroup for {{rows}} of them (see whole.ts): what a workgroup
// does is a list of phases, six to a layer, each of which reads what the one before left in `work`.
//
//   0 q, k, v   1 norm and rotation of q and k, k and v into the caches   2 attention
//   3 output    4 gate and up                                             5 down
//
// Where the span is the solver's (`ends`), phases 6 and 7 before them embed latents, and 8 and 9 after them make
// velocities, of sound and of pictures; x is then the velocities.
//
// rotation.wgsl stands before this text.
//   x         [rows][hidden] in vec4: the residual stream
//   work      by workgroup: the residual stream, q | k | v, heads, the gated activation, and latents or
//             velocities of its rows
//   keys      [layers][slots][kv_heads][head_dim] in vec4, or in pairs of words with two halves each;
//             values likewise
//   token_table [rows][8]: {slot, limit, own, time, height, width, 0, 0}
//   held      {used, noisy_start, noisy_end, 0}: the slots that hold keys
//   ranks     [slots] in vec4
//   partials  where attention is apart (attention_pairs.wgsl): [rows][heads][splits][head_dim + 4]
//   norms     [layers][2][head_dim] in vec4: of q, of k
//   turns     [head_dim / 2] in vec4: turns of each pair per position, times 2^32; axes likewise
//   weight    by layer: panels of q, k, v; of output; of gate and up; of down (packed_weight.ts); then those
//             of the phases 6 to 9
//   z         latents of all sets, flat: sound, then pictures, in vec4; x [sets] of the same
//   biases    [hidden] in vec4 of phases 6 and 7; those of 8 and 9 stand after the norms

{{sizes}}
@group(0) @binding(1) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> work: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> keys: array<{{cache}}>;
@group(0) @binding(4) var<storage, read_write> values: array<{{cache}}>;
@group(0) @binding(5) var<storage, read> token_table: array<vec4i>;
@group(0) @binding(6) var<storage, read> held: array<vec4i>;
#if joins
@group(0) @binding(7) var<storage, read> partials: array<vec4f>;
#else
@group(0) @binding(7) {{ranks}}
#end
@group(0) @binding(8) var<uniform> norms: array<vec4f, {{norms}}>;
@group(0) @binding(9) var<uniform> turns: array<vec4u, {{eights}}>;
@group(0) @binding(10) var<uniform> axes: array<vec4u, {{eights}}>;
@group(0) @binding(11) {{weight}}
#if ends
@group(0) @binding(12) var<storage, read> z: array<vec4f>;
@group(0) @binding(13) var<storage, read> biases: array<vec4f>;
#end

{{readers}}

// In vec4: the lengths of rows, and where each part of a workgroup's work starts.
const hidden = {{hidden}}u / 4u;
const inner = {{inner}}u / 4u;
const head = {{eights}}u * 2u;
const all_heads = {{heads}}u + 2u * {{kv_heads}}u;
const qkv_at = {{rows}}u * hidden;
const heads_at = qkv_at + {{rows}}u * all_heads * head;
const act_at = heads_at + {{rows}}u * {{heads}}u * head;
const latents_at = act_at + {{rows}}u * inner;
#if ends
// Of a row of latents of sound and of pictures, and room for either.
const channels = vec2u({{sound_channels}}u, {{picture_channels}}u) / 4u;
const widest = max(channels.x, channels.y);
#end

// Below every score, and above what an unseen key gets: so that such a key weighs nothing.
const lowest = -1e30;
const unseen = -3e38;

// Eight elements of a head.
struct Eight {
  a: vec4f,
  b: vec4f,
}

fn key_at(i: u32) -> Eight {
#if half
  let texels = array<vec2u, 2>(keys[i], keys[i + 1u]);
  return Eight(
    vec4f(unpack2x16float(texels[0].x), unpack2x16float(texels[0].y)),
    vec4f(unpack2x16float(texels[1].x), unpack2x16float(texels[1].y)),
  );
#else
  return Eight(keys[i], keys[i + 1u]);
#end
}

fn value_at(i: u32) -> Eight {
#if half
  let texels = array<vec2u, 2>(values[i], values[i + 1u]);
  return Eight(
    vec4f(unpack2x16float(texels[0].x), unpack2x16float(texels[0].y)),
    vec4f(unpack2x16float(texels[1].x), unpack2x16float(texels[1].y)),
  );
#else
  return Eight(values[i], values[i + 1u]);
#end
}

fn cached(value: vec4f) -> {{cache}} {
#if half
  return vec2u(pack2x16float(value.xy), pack2x16float(value.zw));
#else
  return value;
#end
}

#if !joins
fn rank_at(slot: u32) -> i32 {
  let i = sizes.ranks + slot;
  return ranks[i >> 2u][i & 3u];
}
#end

#if ends
// Where a row's latents start in those of a set.
fn latent_at(row: u32) -> u32 {
  let sounds = min(row, sizes.sound_rows);
  return sounds * channels.x + (row - sounds) * channels.y;
}

#end
@compute @workgroup_size({{lanes}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let base = (sizes.begin + group.x) * {{work}}u;
  let first = (sizes.begin + group.x) * {{rows}}u;
  let count = min({{rows}}u, sizes.rows - first);
  let slots = vec4u(held[sizes.held]);
  // Rows past the end compute the last one again; what they give is not stored.
#if ends
  for (var i = lane; i < {{rows}}u * widest; i += {{lanes}}u) {
    let row = (first + min(i / widest, count - 1u)) % sizes.response;
    let at = latent_at(row) + i % widest;
    work[base + latents_at + i] = z[sizes.z + min(at, latent_at(sizes.response) - 1u)];
  }
#else
  for (var i = lane; i < {{rows}}u * hidden; i += {{lanes}}u) {
    let row = min(i / hidden, count - 1u);
    work[base + i] = x[sizes.x + (first + row) * hidden + i % hidden];
  }
#end
  var inputs: array<vec4f, {{longest}}>;
  for (var phase = sizes.start; phase < sizes.end; phase++) {
    {{barrier}};
    var kind = phase % 6u;
    var layer = phase / 6u;
#if ends
    // Two phases stand before the layers, two after them.
    if (phase < 2u) {
      kind = 6u + phase;
    } else if (phase >= {{layers}}u * 6u + 2u) {
      kind = 6u + phase - {{layers}}u * 6u;
    } else {
      kind = (phase - 2u) % 6u;
      layer = (phase - 2u) / 6u;
    }
#end
    if (kind == 1u) {
      // A lane takes one head of one row.
      for (var n = 0u; n * {{lanes}}u < count * all_heads; n++) {
        let item = n * {{lanes}}u + lane;
        let row = item / all_heads;
        if (row < count) {
          let which = item % all_heads;
          let is_query = which < {{heads}}u;
          let is_value = which >= {{heads}}u + {{kv_heads}}u;
          let at = base + qkv_at + item * head;
          var scale = 1.0;
#if normed
          var squares = 0.0;
          for (var j = 0u; j < 2u * sizes.eights; j++) {
            let value = work[at + j];
            squares += dot(value, value);
          }
          scale = inverseSqrt(squares / f32(8u * sizes.eights) + sizes.head_eps);
#end
          let sight = token_table[sizes.token_table + (first + row) * 2u];
          let place = token_table[sizes.token_table + (first + row) * 2u + 1u];
          let time = vec4u(u32(sight.w));
          let height = vec4u(u32(place.x));
          let width = vec4u(u32(place.y));
          let kv_head = (which - {{heads}}u) % {{kv_heads}}u;
          let to = ((layer * sizes.slots + u32(sight.x)) * {{kv_heads}}u + kv_head) * head;
          let norm = (layer * 2u + u32(!is_query)) * head;
          for (var i = 0u; i < sizes.eights; i++) {
            let j = i + sizes.eights;
            var a = work[at + i];
            var b = work[at + j];
            if (!is_value) {
              let axis = axes[i];
              let position = select(select(time, height, axis == vec4u(1u)), width, axis == vec4u(2u));
              let turn = rotation(turns[i] * position);
              let c = a * scale * norms[norm + i];
              let d = b * scale * norms[norm + j];
              a = c * turn.cos - d * turn.sin;
              b = d * turn.cos + c * turn.sin;
            }
            if (is_query) {
              work[at + i] = a;
              work[at + j] = b;
            } else if (is_value) {
              values[sizes.values + to + i] = cached(a);
              values[sizes.values + to + j] = cached(b);
            } else {
              keys[sizes.keys + to + i] = cached(a);
              keys[sizes.keys + to + j] = cached(b);
            }
          }
        }
      }
    } else if (kind == 2u) {
#if joins
      // A lane joins four elements of a head: a mean of the splits', weighted by their sums under one maximum.
      for (var i = lane; i < count * {{heads}}u * head; i += {{lanes}}u) {
        let at = (first * {{heads}}u + i / head) * {{splits}}u * (head + 1u);
        var highest = lowest;
        var sum = 0.0;
        var total = vec4f();
        for (var split = 0u; split < {{splits}}u; split++) {
          let part = at + split * (head + 1u);
          let weight = partials[part + head].xy;
          let top = max(highest, weight.x);
          let old = exp2(highest - top);
          let now = exp2(weight.x - top);
          total = total * old + partials[part + i % head] * now;
          sum = sum * old + weight.y * now;
          highest = top;
        }
        work[base + heads_at + i] = select(vec4f(), total / sum, sum > 0.0);
      }
#else
      // A lane takes {{queries}} queries of a row that share a kv head; the lanes read four keys together, and each
      // gets all of them. The sums are scaled once for the four.
      let row = min(lane, {{rows}}u - 1u);
      let sight = token_table[sizes.token_table + (first + min(row, count - 1u)) * 2u].yz;
      let top = subgroupMax(sight.x);
#for r < rows
      let own$r = subgroupBroadcast(sight.y, $ru);
#end
      let end = slots.x + slots.z - slots.y;
      let gap = slots.y - slots.x;
      for (var turn = 0u; turn < {{heads}}u / {{queries}}u; turn++) {
        let kv_head = turn / ({{heads}}u / {{queries}}u / {{kv_heads}}u);
        let query = base + qkv_at + row * all_heads * head + turn * {{queries}}u * head;
#for r < queries
#for e < steps
#for g < parts
        let qa$r_$e_$g = work[query + $ru * head + 2u * ($eu * {{parts}}u + $gu)] * {{scale}};
        let qb$r_$e_$g = work[query + $ru * head + 2u * ($eu * {{parts}}u + $gu) + 1u] * {{scale}};
        var oa$r_$e_$g = vec4f();
        var ob$r_$e_$g = vec4f();
#end
#end
        var m$r = lowest;
        var l$r = 0.0;
#end
        for (var i = 0u; i < end; i += 4u) {
          let key = min(i + lane % 4u, end - 1u);
          let slot = select(key + gap, key, key < slots.x);
          let rank = rank_at(slot);
          // Whether any row sees it: an empty slot may hold anything, and 0 * NaN is NaN.
          let mine = rank <= top{{others}};
#for j < keys
          let rank$j = subgroupBroadcast(rank, $ju);
          let visible$j = i + $ju < end && (rank$j <= sight.x || rank$j == sight.y);
#end
          let at = ((layer * sizes.slots + slot) * {{kv_heads}}u + kv_head) * head +
            lane / 4u % {{parts}}u * 2u;
#for j < keys
#for r < queries
          var s$r_$j = 0.0;
#end
#end
#for e < steps
          let k$e = key_at(sizes.keys + at + $eu * {{parts}}u * 2u);
#for g < parts
#for j < keys
          let ka$e_$g_$j = subgroupBroadcast(k$e.a, $gu * 4u + $ju);
          let kb$e_$g_$j = subgroupBroadcast(k$e.b, $gu * 4u + $ju);
#for r < queries
          s$r_$j += dot(qa$r_$e_$g, ka$e_$g_$j) + dot(qb$r_$e_$g, kb$e_$g_$j);
#end
#end
#end
#end
#for r < queries
#for j < keys
          let t$r_$j = select(unseen, s$r_$j, visible$j);
#end
          var n$r = m$r;
#for j < keys
          n$r = max(n$r, t$r_$j);
#end
          let f$r = exp2(m$r - n$r);
          m$r = n$r;
#for j < keys
          let p$r_$j = exp2(t$r_$j - n$r);
#end
          l$r = l$r * f$r + ({{sum j < keys: p$r_$j}});
#end
#for e < steps
          let v$e = value_at(sizes.values + at + $eu * {{parts}}u * 2u);
          let va$e = select(vec4f(), v$e.a, mine);
          let vb$e = select(vec4f(), v$e.b, mine);
#for g < parts
#for j < keys
          let va$e_$g_$j = subgroupBroadcast(va$e, $gu * 4u + $ju);
          let vb$e_$g_$j = subgroupBroadcast(vb$e, $gu * 4u + $ju);
#end
#for r < queries
          oa$r_$e_$g = oa$r_$e_$g * f$r + ({{sum j < keys: p$r_$j * va$e_$g_$j}});
          ob$r_$e_$g = ob$r_$e_$g * f$r + ({{sum j < keys: p$r_$j * vb$e_$g_$j}});
#end
#end
#end
        }
        if (lane < {{rows}}u) {
          let to = base + heads_at + (row * {{heads}}u + turn * {{queries}}u) * head;
#for r < queries
          let scale$r = select(0.0, 1.0 / l$r, l$r > 0.0);
#for e < steps
#for g < parts
          work[to + $ru * head + 2u * ($eu * {{parts}}u + $gu)] = oa$r_$e_$g * scale$r;
          work[to + $ru * head + 2u * ($eu * {{parts}}u + $gu) + 1u] = ob$r_$e_$g * scale$r;
#end
#end
#end
        }
      }
#end
    } else {
      // A product: a lane makes 8 outputs of all rows. Each lane reads one row and hands it round.
      var from_work = base;
      var quads = hidden;
      var length = hidden;
      var to = base;
      var stride = hidden;
      var panels = hidden / 2u;
      var weights = layer * {{layer_texels}}u;
      if (kind == 0u) {
        to += qkv_at;
        stride = all_heads * head;
        panels = stride / 2u;
      } else if (kind == 3u) {
        from_work += heads_at;
        quads = {{heads}}u * head;
        length = quads;
        weights += {{output_at}}u;
      } else if (kind == 4u) {
        to += act_at;
        stride = inner;
        panels = inner;
        weights += {{gate_at}}u;
      } else if (kind == 5u) {
        from_work += act_at;
        quads = inner;
        length = inner;
        weights += {{down_at}}u;
      }
#if ends
      let medium = kind % 2u;
      if (kind > 7u) {
        to += latents_at;
        stride = widest;
        panels = channels[medium] / 2u;
        weights = vec4u({{ends_at}})[medium + 2u];
      } else if (kind > 5u) {
        from_work += latents_at;
        quads = channels[medium];
        length = widest;
        weights = vec4u({{ends_at}})[medium];
      }
      let norms_row = kind == 0u || kind == 4u || kind > 7u;
#else
      let norms_row = kind == 0u || kind == 4u;
#end
      let mine = from_work + lane % {{rows}}u * length;
      // Read once for all panels: llvmpipe reads buffers lane by lane.
      var squares = 0.0;
      for (var i = 0u; i < quads; i++) {
        let u = work[mine + i];
        squares += dot(u, u);
        inputs[i] = u;
      }
      for (var n = 0u; n * {{lanes}}u < panels; n++) {
        let panel = min(n * {{lanes}}u + lane, panels - 1u);
        var at = weights + panel * quads * {{quad_texels}}u;
#for r < rows
        var a$r = vec4f();
        var b$r = vec4f();
#end
        for (var i = 0u; i < quads; i++) {
          let u = inputs[i];
#for k < 4
#if half_weights
          let w$k = weight_at(at + $ku);
          let p$k = vec4f(unpack2x16float(w$k.x), unpack2x16float(w$k.y));
          let q$k = vec4f(unpack2x16float(w$k.z), unpack2x16float(w$k.w));
#else
          let p$k = weight_at(at + 2u * $ku);
          let q$k = weight_at(at + 2u * $ku + 1u);
#end
#end
          at += {{quad_texels}}u;
#for r < rows
          let v$r = subgroupBroadcast(u, $ru);
#for k < 4
          a$r = fma(vec4f(v$r[$k]), p$k, a$r);
          b$r = fma(vec4f(v$r[$k]), q$k, b$r);
#end
#end
        }
        let scale = select(1.0, 1.0 / sqrt(squares / (4.0 * f32(quads)) + sizes.eps), norms_row);
#for r < rows
        let scale$r = subgroupBroadcast(scale, $ru);
        a$r *= scale$r;
        b$r *= scale$r;
#end
        if (n * {{lanes}}u + lane < panels) {
          // One place for all kinds: llvmpipe computes every branch, and stores lane by lane.
          let gates = kind == 4u;
          let adds = kind == 3u || kind == 5u;
          let column = select(2u, 1u, gates) * panel;
          let beside = select(1u, 0u, gates);
#if ends
          let own_bias = select(sizes.sound_bias, sizes.picture_bias, medium == 1u) + 2u * panel;
          let last_bias = {{norm_vectors}}u + medium * channels.x + 2u * panel;
          let is_last = kind > 7u;
          let plus_a = select(vec4f(), select(biases[own_bias], norms[last_bias], is_last), kind > 5u);
          let plus_b = select(
            vec4f(),
            select(biases[own_bias + 1u], norms[last_bias + 1u], is_last),
            kind > 5u,
          );
#else
          let plus_a = vec4f();
          let plus_b = vec4f();
#end
#for r < rows
          let to$r = to + $ru * stride + column;
          let olda$r = work[to$r];
          let oldb$r = work[to$r + beside];
          let gated$r = a$r / (1.0 + exp(-a$r)) * b$r;
          var newa$r = select(a$r + select(plus_a, olda$r, adds), gated$r, gates);
          var newb$r = select(b$r + select(plus_b, oldb$r, adds), gated$r, gates);
#if ends
          // Latents of the other medium stay, and those of no row.
          let is_sound$r = (first + $ru) % sizes.response < sizes.sound_rows;
          let keeps$r = kind > 5u && !($ru < count && is_sound$r == (medium == 0u));
          newa$r = select(newa$r, olda$r, keeps$r);
          newb$r = select(newb$r, oldb$r, keeps$r);
#end
          work[to$r] = newa$r;
          work[to$r + beside] = newb$r;
#end
        }
      }
    }
  }
#if ends
  {{barrier}};
  let velocities = select(0u, count * widest, sizes.end == {{layers}}u * 6u + 4u);
  for (var i = lane; i < velocities; i += {{lanes}}u) {
    let row = (first + i / widest) % sizes.response;
    let own_set = (first + i / widest) / sizes.response * latent_at(sizes.response);
    let j = i % widest;
    if (j < channels[select(1u, 0u, row < sizes.sound_rows)]) {
      x[sizes.x + own_set + latent_at(row) + j] = work[base + latents_at + i];
    }
  }
#end
#if !ends
  {{barrier}};
  for (var i = lane; i < count * hidden; i += {{lanes}}u) {
    x[sizes.x + first * hidden + i] = work[base + i];
  }
#end
}
