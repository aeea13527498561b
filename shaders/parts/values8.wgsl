// Eight f32 values a unit, for the f16 weight formats: a unit's weights are one 16-byte load.
const UNIT: u32 = 2u; // vec4 of an f32 row that one unit of weights goes with

alias Values = mat2x4<f32>;

// In an f32 row a unit goes with two vec4 that lie a block of lanes apart, not side by side: neighbouring lanes then read and write
// neighbouring vec4. The host orders the weights of a row alike (src/gpu/matrix.rs). Where it does not, as in the leaf form, whose rows are those of
// dense layers, too, they are side by side.
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
