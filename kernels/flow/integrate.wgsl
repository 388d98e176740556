// y = a z + c_0 v_0 + c_1 v_1 + ..., or the sum alone (see integrate.ts).
// All tensors f32 [count] from their offsets.

{{terms}}
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#for i < count
@group(0) @binding(2 + $i) var<storage, read> v$i: array<f32>;
#end
#if reads_z
@group(0) @binding(2 + {{count}}) var<storage, read> z: array<f32>;
#end

#items i < terms.count
#if has_z
  let before = terms.a * {{z}}[terms.z_at + i];
  y[terms.y_at + i] = before + {{sum i < count: terms.c[$i] * v$i[terms.v_at[$i] + i]}};
#else
  y[terms.y_at + i] = {{sum i < count: terms.c[$i] * v$i[terms.v_at[$i] + i]}};
#end
#end
