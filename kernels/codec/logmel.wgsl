// log(mel power + 1e-5) of spectra (see logmel.ts).
// spectrum texture [frames][bins / 2]: two complex numbers per
// texel; filters texture: by mel (first texel of a spectrum, texels, where its weights start, 0), then the
// weights, each for both parts of a number.

{{sizes}}
@group(0) @binding(1) {{spectrum}}
@group(0) @binding(2) {{filters}}
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

{{readers}}

#items item < sizes.frames * sizes.mels
  let filter_row = vec4u(filters_at(item % sizes.mels));
  let source = sizes.spectrum + item / sizes.mels * sizes.texels + filter_row.x;
  var power = 0.0;
  for (var i = 0u; i < filter_row.y; i++) {
    let z = spectrum_at(source + i);
    power += dot(z * z, filters_at(filter_row.z + i));
  }
  y[sizes.y + item] = log(power + 1e-5);
#end
