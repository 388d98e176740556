// The nearest entry of a codebook by its scores, and what is left of a vector without it (see nearest.ts).
//
// Grid: one workgroup per row.
//   scores    [rows][entries]; codes [rows][books]; left [rows][width]; each from where `sizes` says
//   book      panels of 8 entries, negative (packed_weight.ts)

{{sizes}}
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) {{book}}
@group(0) @binding(3) var<storage, read_write> codes: array<f32>;
@group(0) @binding(4) var<storage, read_write> left: array<f32>;

{{reader}}

var<workgroup> lowest: array<f32, {{lanes}}>;
var<workgroup> places: array<u32, {{lanes}}>;

@compute @workgroup_size({{lanes}})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  var score = 3e38;
  var place = 0u;
  for (var i = lane; i < sizes.entries; i += {{lanes}}u) {
    let other = scores[sizes.scores + row * sizes.entries + i];
    if (other < score) {
      score = other;
      place = i;
    }
  }
  lowest[lane] = score;
  places[lane] = place;
  workgroupBarrier();
  // Of equal ones the first.
  for (var l = 0u; l < {{lanes}}u; l++) {
    if (lowest[l] < score || (lowest[l] == score && places[l] < place)) {
      score = lowest[l];
      place = places[l];
    }
  }
  if (lane == 0u) {
    codes[sizes.codes + row * sizes.books + sizes.book] = f32(place);
  }
  let panel = place / 8u * sizes.width * 2u + place % 8u / 4u;
  for (var i = lane; i < sizes.width; i += {{lanes}}u) {
    left[sizes.left + row * sizes.width + i] += book_at(panel + 2u * i)[place % 4u];
  }
}
