// Eight f32 values a unit, for the two f16 weight formats: a unit's weights are one 16-byte load.
alias Values = mat2x4<f32>;

fn dot_values(weights: Weights, x: Values) -> f32 {
    let wide = widen(weights);
    return dot(wide[0], x[0]) + dot(wide[1], x[1]);
}

fn scale_add(scale: f32, weights: Weights, sum: Values) -> Values {
    let wide = widen(weights);
    return Values(fma(vec4<f32>(scale), wide[0], sum[0]), fma(vec4<f32>(scale), wide[1], sum[1]));
}

fn without_padding(values: Values, unit: u32, width: u32) -> Values {
    let first = vec4<u32>(8u * unit) + vec4<u32>(0u, 1u, 2u, 3u);
    return Values(
        select(vec4<f32>(), values[0], first < vec4<u32>(width)),
        select(vec4<f32>(), values[1], first + vec4<u32>(4u) < vec4<u32>(width)),
    );
}
