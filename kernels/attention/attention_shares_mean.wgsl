// shares[classes] = the mean of results[queries][classes] over the queries.

{{sizes}}
@group(0) @binding(1) var<storage, read> results: array<f32>;
@group(0) @binding(2) var<storage, read_write> shares: array<f32>;

#items kind < sizes.classes
  var sum = 0.0;
  for (var query = 0u; query < sizes.queries; query++) {
    sum += results[query * sizes.classes + kind];
  }
  shares[sizes.shares + kind] = sum / f32(sizes.queries);
#end
