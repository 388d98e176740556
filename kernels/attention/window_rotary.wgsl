// Rotary positions on q and k where they lie (see window_attention.ts).
// qkv [rows][stride] in vec4, turned are the first `heads` heads of a row; turns [head_dim / 2] in vec4;
// seen [1]; each from where `sizes` says.

{{sizes}}
@group(0) @binding(1) var<storage, read_write> qkv: array<vec4f>;
@group(0) @binding(2) var<uniform> turns: array<vec4u, {{quads}}>;
@group(0) @binding(3) var<storage, read> seen: array<u32>;

#items item < sizes.rows * sizes.heads * {{quads}}u
  let i = item % {{quads}}u;
  let head = item / {{quads}}u % sizes.heads;
  let row = item / {{quads}}u / sizes.heads;
  let at = sizes.qkv + row * sizes.stride + head * 2u * {{quads}}u + i;
  let a = qkv[at];
  let b = qkv[at + {{quads}}u];
  let turn = rotation(turns[i] * (seen[sizes.seen] + row));
  qkv[at] = a * turn.cos - b * turn.sin;
  qkv[at + {{quads}}u] = b * turn.cos + a * turn.sin;
#end
