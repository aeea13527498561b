// y in f32: [tokens, OUT_UNITS * UNIT] vec4.
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

fn store_y_vec4(token: u32, index: u32, values: vec4<f32>) {
    let at = token * OUT_UNITS * UNIT + index;
    if RESIDUAL == 1u {
        y[at] = values + y[at];
    } else if RESIDUAL == 2u {
        y[at] = values + x_vec4(token, index);
    } else {
        y[at] = values;
    }
}
