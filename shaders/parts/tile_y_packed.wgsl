// y in f16, packed in pairs.
@group(0) @binding(4) var<storage, read_write> y: array<vec2<u32>>; // [rows, OUT4]

fn put(at: u32, value: vec4<f32>) {
    var sum = value + residual(at);
    if RESIDUAL == 1u {
        sum += vec4<f32>(unpack2x16float(y[at].x), unpack2x16float(y[at].y));
    }
    y[at] = vec2<u32>(pack2x16float(sum.xy), pack2x16float(sum.zw));
}
