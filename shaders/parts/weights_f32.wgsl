// Weights in f32, four values a unit.
const UNIT: u32 = 1u; // vec4 of an f32 row that one unit of weights goes with

alias Weights = vec4<f32>;
alias Values = vec4<f32>;

fn dot_values(weights: Weights, x: Values) -> f32 {
    return dot(weights, x);
}

fn scale_add(scale: f32, weights: Weights, sum: Values) -> Values {
    return fma(vec4<f32>(scale), weights, sum);
}
