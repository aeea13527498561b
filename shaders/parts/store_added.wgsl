// Adds to the values in y, in f32.
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [tokens, OUT4]

fn store_y(at: u32, value: vec4<f32>) {
    y[at] += value;
}
