// Weights in f32, four values a unit.
alias Weights = vec4<f32>;
alias Values = vec4<f32>;

// Four running sums of products: short chains of additions, for latency and for accuracy.
fn dot_add(weights: Weights, x: Values, sum: vec4<f32>) -> vec4<f32> {
    return fma(weights, x, sum);
}

fn scale_add(scale: f32, weights: Weights, sum: Values) -> Values {
    return fma(vec4<f32>(scale), weights, sum);
}

fn without_padding(values: Values, unit: u32, width: u32) -> Values {
    return select(vec4<f32>(), values, vec4<u32>(4u * unit) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(width));
}
