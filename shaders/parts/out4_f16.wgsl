// Four values of a row of y, stored in f16, packed in pairs.
alias Out4 = vec2<u32>;

fn narrowed(value: vec4<f32>) -> Out4 {
    return vec2<u32>(pack2x16float(value.xy), pack2x16float(value.zw));
}
