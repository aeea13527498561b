// Stores the rows in f16, packed in pairs.
@group(0) @binding(4) var<storage, read_write> y: array<vec2<u32>>; // [tokens, UNITS]

fn store_y(at: u32, value: vec4<f32>) {
    y[at] = vec2<u32>(pack2x16float(value.xy), pack2x16float(value.zw));
}
