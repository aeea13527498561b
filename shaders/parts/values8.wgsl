// Units of eight f32 values, for the f16 weight formats: the weights of a unit are one 16-byte
// load.
const UNIT: u32 = 2u; // vec4 of an f32 row that one unit of weights goes with

alias Values = mat2x4<f32>;

// Returns the two vec4 of an f32 row that go with a unit. They lie a block of lanes apart, so that
// neighbouring lanes read and write neighbouring vec4. The host orders the weights of a row in the
// same way (src/gpu/matrix.rs). It does not in the leaf form, whose rows dense layers read too;
// there the two vec4 lie side by side.
fn vec4s_of(unit: u32, i: u32, units: u32) -> vec2<u32> {
    if SIDE_BY_SIDE == 1u {
        return vec2<u32>(2u * unit, 2u * unit + 1u);
    }
    let first = unit + i * LANES;
    return vec2<u32>(first, first + min(LANES, units - i * LANES));
}

fn dot_values(weights: Weights, x: Values) -> f32 {
    let wide = widen(weights);
    return dot(wide[0], x[0]) + dot(wide[1], x[1]);
}

fn scale_add(scale: f32, weights: Weights, sum: Values) -> Values {
    let wide = widen(weights);
    return Values(fma(vec4<f32>(scale), wide[0], sum[0]), fma(vec4<f32>(scale), wide[1], sum[1]));
}
