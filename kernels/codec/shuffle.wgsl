// Blocks of time, height and width into channels or back: a strided copy (see shuffle.ts).
// The output is [outer][inner], row-major; its
// element's place in x is the sum of index x stride.

{{sizes}}
@group(0) @binding(1) {{x}}
@group(0) @binding(2) var<storage, read_write> y: array<{{y_type}}>;

{{reader}}

#items item < sizes.runs
  var outer = item;
  var source = sizes.x + outer % sizes.outer.w * sizes.strides.w;
  outer /= sizes.outer.w;
  source += outer % sizes.outer.z * sizes.strides.z;
  outer /= sizes.outer.z;
  source += outer % sizes.outer.y * sizes.strides.y;
  outer /= sizes.outer.y;
  source += outer % sizes.outer.x * sizes.strides.x + outer / sizes.outer.x * sizes.first_stride;
  let to = sizes.y + item * sizes.run;
  // The inner index counts along, without divisions.
  var c = 0u;
  var b = 0u;
  var line = source;
  var at = source;
  for (var i = 0u; i < sizes.run; i++) {
    var v = {{y_type}}();
#for l < values
#if vector
    v[$l] = x_at(at);
#else
    v = x_at(at);
#end
    at += sizes.steps.z;
    c++;
    if (c == sizes.inner.y) {
      c = 0u;
      b++;
      line += sizes.steps.y;
      at = line;
      if (b == sizes.inner.x) {
        b = 0u;
        source += sizes.steps.x;
        line = source;
        at = source;
      }
    }
#end
    y[to + i] = v;
  }
#end
