// Weights in f16 packed in pairs into u32, eight values a unit (with values8.wgsl): no f16 type is needed.
alias Weights = vec4<u32>;

fn widen(weights: Weights) -> Values {
    return Values(
        vec4<f32>(unpack2x16float(weights.x), unpack2x16float(weights.y)),
        vec4<f32>(unpack2x16float(weights.z), unpack2x16float(weights.w)),
    );
}
