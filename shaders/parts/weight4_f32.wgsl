// Four weights of a row, f32.
alias Weight4 = vec4<f32>;

fn widen4(weight: Weight4) -> vec4<f32> {
    return weight;
}
