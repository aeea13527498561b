// y in f32.
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [rows, OUT4]

fn put(at: u32, value: vec4<f32>) {
    if RESIDUAL == 1u {
        y[at] += value;
    } else {
        y[at] = value + residual(at);
    }
}
