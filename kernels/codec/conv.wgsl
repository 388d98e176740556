// 3-D convolution, causal in time, as an implicit matrix product (see conv.ts).
//
// Grid: one invocation per {{tile}} positions x {{octets}} x 8 output channels; neighbours take neighbouring
// panels of channels. Where weights are handed round, neighbours take neighbouring positions of one panel
// instead: each lane reads a texel of a step's weights, the next one another, and gives it to its subgroup. Offsets and strides into `x` are in texels: 4 values, or 1 where runs are no whole
// texels.
//
// Where positions are read together, a workgroup's lanes are panels of one tile: each reads one of its positions,
// straight from the buffers of x and state, and gives it to its subgroup.
//
//   x       texture: [state ++ x] flat from texel `origin`, and the tensor to add from `add`; or buffers
//   weight  texture: by panel: bias, then [taps][steps][4 inputs][panel]
//   y       [rows][outputs]; where it shuffles, blocks of time, height and width in their places, as floats or
//           as packed bytes

{{shape}}
@group(0) @binding(1) {{x}}
@group(0) @binding(2) {{weight}}
@group(0) @binding(3) var<storage, read_write> y: array<{{y_type}}>;
#if has_state
@group(0) @binding(4) var<storage, read> before: array<vec4f>;
#end
#if reads_added
@group(0) @binding(4 + {{states}}) var<storage, read> added: array<vec4f>;
#end

{{readers}}

#if together
// Four values of [state ++ x].
fn values_at(at: u32, step: u32) -> vec4f {
  let i = at + step;
#if has_state
  if (i < shape.past) {
    return before[shape.before + i];
  }
#end
  return x[shape.x + i - shape.past];
}
#else
// Four values of a run, zeros past its end.
fn values_at(at: u32, step: u32) -> vec4f {
#if vector
  return x_at(at + step);
#else
  let c = vec4u(4u * step) + vec4u(0u, 1u, 2u, 3u);
  let v = vec4f({{list i < 4: x_at(at + c[$i])}});
  return select(vec4f(), v, c < vec4u(shape.run));
#end
}
#end

// Four values of the tensor to add, from element `at` on.
fn added_at(at: u32) -> vec4f {
#if reads_added
  return added[shape.add + at / 4u];
#else
#if together
  return vec4f();
#else
#if vector
  return x_at(shape.add + at / 4u);
#else
  return vec4f({{list i < 4: x_at(shape.add + at + $iu)}});
#end
#end
#end
}

{{activate}}

#if shuffled
// Where a position's outputs begin in y, and where four of them from n on stand behind that: runs of outputs
// are neighbours in a line of y.
fn start_of(m: u32) -> u32 {
  let frame = m / shape.plane * shape.block.x * shape.block_plane;
  let line = m % shape.plane / shape.line * shape.block.y;
  return frame + line * shape.block_line + m % shape.line * shape.block_run;
}
fn part_of(n: u32) -> u32 {
  let run = n / shape.block_run;
  let frame = run / shape.block.y * shape.block_plane;
  return frame + run % shape.block.y * shape.block_line + n % shape.block_run;
}
#end

// Ends four outputs from n on, which stand at an element of y.
fn finish(at: u32, n: u32, sum: vec4f) {
  var v = sum;
#if adds_first
  v += added_at(at);
#end
  v = activate(v);
#if adds_last
  v += added_at(at);
#end
#if packs
  let bytes = vec4u(clamp((v + 1.0) * 127.5, vec4f(), vec4f(255.0)) + 0.5);
  y[shape.y_offset + at / 4u] = pack4xU8(bytes);
#else
#if stores_vectors
  y[shape.y_offset + at / 4u] = v;
#else
  for (var i = 0u; i < min(4u, shape.outputs - n); i++) {
    y[shape.y_offset + at + i] = v[i];
  }
#end
#end
}

@compute @workgroup_size({{lanes}})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
#if subgroups
  @builtin(subgroup_invocation_id) lane: u32,
#end
) {
  let index = group.y * groups.x + group.x;
#if handed
  let panel = index % shape.panels;
  let first = (index / shape.panels * {{lanes}}u + local) * {{tile}}u;
#else
#if together
  // Lanes past the last panel compute it again and store nothing: every lane gives positions to the others.
  let sets = (shape.panels + {{lanes}}u - 1u) / {{lanes}}u;
  let place = index % sets * {{lanes}}u + local;
  let panel = min(place, shape.panels - 1u);
  let first = index / sets * {{tile}}u;
#else
  let item = index * {{lanes}}u + local;
  let panel = item % shape.panels;
  let first = item / shape.panels * {{tile}}u;
#end
#end
  // Positions past the end compute the last one again and store nothing.
  let last = shape.rows - 1u;
  let taps = shape.taps.x * shape.taps.y * shape.taps.z;
  var w = panel * ({{octets}}u * 2u + taps * shape.steps * {{step_texels}}u);
#for o < octets
#for r < tile
  var a$r_$o = bitcast<vec4f>(weight_at(w + 2u * $ou));
  var b$r_$o = bitcast<vec4f>(weight_at(w + 2u * $ou + 1u));
#end
#end
#for r < owns
  // Time, line and column in the input where the taps of a position start.
#if together
  let m$r = min(first + lane % {{tile}}u, last);
#else
  let m$r = min(first + $ru, last);
#end
  let t$r = m$r / shape.plane * shape.stride.x;
  let h$r = m$r % shape.plane / shape.line * shape.stride.y;
  let v$r = m$r % shape.line * shape.stride.z;
#end
  w += {{octets}}u * 2u;
  for (var dt = 0u; dt < shape.taps.x; dt++) {
    for (var dh = 0u; dh < shape.taps.y; dh++) {
      for (var dw = 0u; dw < shape.taps.z; dw++) {
        // Where the tap's run starts. What lies outside the picture is read in row 0 of the texture, which
        // is zero: unsigned numbers wrap where the padding reaches over the edge, and fail the comparison.
#for r < owns
        let y$r = h$r + dh - shape.pad.x;
        let x$r = v$r + dw - shape.pad.y;
        let frame$r = (t$r + dt * shape.dilation) * shape.frame_texels;
#if upsample
        let line$r = y$r / shape.upsample.x * shape.line_texels;
        let position$r = x$r / shape.upsample.y * shape.position_texels;
#else
        let line$r = y$r * shape.line_texels;
        let position$r = x$r * shape.position_texels;
#end
        let inside$r = y$r < shape.height && x$r < shape.width;
        let at$r = select(
          0u,
          shape.origin + frame$r + line$r + position$r,
          inside$r,
        );
#end
        for (var step = 0u; step < shape.steps; step++) {
#if together
          var mine = vec4f();
          if (inside0) {
            mine = values_at(at0, step);
          }
#end
{{handed_weights}}
#for k < 4
#for o < octets
#if half
#if !handed
          let h$k_$o = weight_at(w + $ku * {{octets}}u + $ou);
#end
          let p$k_$o = vec4f(unpack2x16float(h$k_$o.x), unpack2x16float(h$k_$o.y));
          let q$k_$o = vec4f(unpack2x16float(h$k_$o.z), unpack2x16float(h$k_$o.w));
#else
#if !handed
          let p$k_$o = weight_at(w + ($ku * {{octets}}u + $ou) * 2u);
          let q$k_$o = weight_at(w + ($ku * {{octets}}u + $ou) * 2u + 1u);
#end
#end
#end
#end
          // A sum changes once per four inputs: there are more sums than a CPU has registers.
#for r < tile
#if together
          let s$r = subgroupBroadcast(mine, $ru);
#else
          let s$r = values_at(at$r, step);
#end
#for o < octets
          a$r_$o += {{sum k < 4: p$k_$o * s$r[$k]}};
          b$r_$o += {{sum k < 4: q$k_$o * s$r[$k]}};
#end
#end
          w += {{step_texels}}u;
        }
      }
    }
  }
  // One copy of the code that ends a position, not {{tile}}: compiling costs more than this array.
  var sums: array<vec4f, {{tile}} * {{octets}} * 2>;
#for r < tile
#for o < octets
  sums[($ru * {{octets}}u + $ou) * 2u] = a$r_$o;
  sums[($ru * {{octets}}u + $ou) * 2u + 1u] = b$r_$o;
#end
#end
#if shuffled
  var starts: array<u32, {{tile}}>;
  var parts: array<u32, {{octets}} * 2>;
#for r < tile
  starts[$r] = start_of(first + $ru);
#end
#for o < octets
  parts[$o * 2] = part_of((panel * {{octets}}u + $ou) * 8u);
  parts[$o * 2 + 1] = part_of((panel * {{octets}}u + $ou) * 8u + 4u);
#end
#end
  for (var i = 0u; i < {{tile}}u * {{octets}}u * 2u; i++) {
    let m = first + i / ({{octets}}u * 2u);
    let n = (panel * {{octets}}u * 2u + i % ({{octets}}u * 2u)) * 4u;
#if shuffled
    let at = starts[i / ({{octets}}u * 2u)] + parts[i % ({{octets}}u * 2u)];
#else
    let at = m * shape.outputs + n;
#end
#if together
    let stores = place < shape.panels;
#else
    let stores = true;
#end
    if (stores && m < shape.rows && n < shape.outputs) {
      finish(at, n, sums[i]);
    }
  }
}
