// Returns four values of a bias, each plus `added`.
fn bias_values(at: u32, added: f32) -> Values {
    return vec4<f32>(linear_in_bias[at], linear_in_bias[at + 1u], linear_in_bias[at + 2u], linear_in_bias[at + 3u]) + added;
}
