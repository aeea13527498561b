// y in f16, packed in pairs: [tokens, OUT_UNITS] units of eight values side by side. The weights of
// a unit lie side by side too.
@group(0) @binding(5) var<storage, read_write> y: array<vec4<u32>>;

fn store_y(token: u32, unit: u32, i: u32, values: Values) {
    let at = token * OUT_UNITS + unit;
    var sum = values;
    if RESIDUAL == 1u {
        sum += widen(y[at]);
    } else if RESIDUAL == 2u {
        sum += Values(x_vec4(token, 2u * unit), x_vec4(token, 2u * unit + 1u));
    }
    y[at] = vec4<u32>(pack2x16float(sum[0].xy), pack2x16float(sum[0].zw), pack2x16float(sum[1].xy), pack2x16float(sum[1].zw));
}
