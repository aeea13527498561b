// Weights in f32, four values a unit.
const UNIT: u32 = 1u; // vec4 of a row that one unit of weights goes with

alias Weights = vec4<f32>;
alias Values = vec4<f32>;

fn load_x(row: u32, unit: u32, i: u32) -> Values {
    return x_within_width(row, unit);
}

fn store_y(row: u32, unit: u32, i: u32, values: Values) {
    y[row + unit] = values + residual(row, unit);
}

fn dot_values(weights: Weights, x: Values) -> f32 {
    return dot(weights, x);
}

fn scale_add(scale: f32, weights: Weights, sum: Values) -> Values {
    return fma(vec4<f32>(scale), weights, sum);
}
