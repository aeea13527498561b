// Stores y in f16.
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f16>>; // [tokens, OUT4]

fn store_y(at: u32, value: vec4<f32>) {
    y[at] = vec4<f16>(value);
}
