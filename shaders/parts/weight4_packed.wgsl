// Four weights of a row, f16 packed in pairs into u32: no f16 type is needed.
alias Weight4 = vec2<u32>;

fn widen4(weight: Weight4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(weight.x), unpack2x16float(weight.y));
}
