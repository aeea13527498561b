// Stores the rows in f32, and also in f16 packed in pairs.
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;      // [tokens, UNITS]
@group(0) @binding(5) var<storage, read_write> y_half: array<vec2<u32>>; // [tokens, UNITS]

fn store_y(at: u32, value: vec4<f32>) {
    y[at] = value;
    y_half[at] = vec2<u32>(pack2x16float(value.xy), pack2x16float(value.zw));
}
