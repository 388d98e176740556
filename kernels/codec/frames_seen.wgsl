// How many frames of a stream went by (see frames_seen.ts).
// seen [1]; past [frames][columns], x [1][columns] or more; from their offsets.

{{sizes}}
@group(0) @binding(1) var<storage, read_write> seen: array<u32>;
#if hold
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> past: array<f32>;

#items i < sizes.count
  if (seen[sizes.seen] == 0u) {
    past[sizes.past + i] = x[sizes.x + i % sizes.columns];
  }
#end
#else

#items i < 1u
  seen[sizes.seen] += sizes.count;
#end
#end
