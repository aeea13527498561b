// Returns eight values of a bias, each plus `added`.
fn bias_values(at: u32, added: f32) -> Values {
    let low = vec4<f32>(linear_in_bias[at], linear_in_bias[at + 1u], linear_in_bias[at + 2u], linear_in_bias[at + 3u]);
    let high = vec4<f32>(linear_in_bias[at + 4u], linear_in_bias[at + 5u], linear_in_bias[at + 6u], linear_in_bias[at + 7u]);
    return Values(low + added, high + added);
}
