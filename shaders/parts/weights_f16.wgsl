// Weights in native f16, eight values a unit (with values8.wgsl).
enable f16;

struct Weights {
    low: vec4<f16>,
    high: vec4<f16>,
}

fn widen(weights: Weights) -> Values {
    return Values(vec4<f32>(weights.low), vec4<f32>(weights.high));
}
