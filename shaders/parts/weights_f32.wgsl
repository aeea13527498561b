// Weights in f32, four values a unit.
alias Weights = vec4<f32>;
alias Values = vec4<f32>;

fn dot_values(weights: Weights, x: Values) -> f32 {
    return dot(weights, x);
}

fn scale_add(scale: f32, weights: Weights, sum: Values) -> Values {
    return fma(vec4<f32>(scale), weights, sum);
}

fn without_padding(values: Values, unit: u32, width: u32) -> Values {
    return select(vec4<f32>(), values, vec4<u32>(4u * unit) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(width));
}
