// x in f32: [tokens, IN_UNITS * UNIT] vec4.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

// Returns one vec4 of a token. Values beyond the width are zero, whatever the padding holds.
fn x_vec4(token: u32, index: u32) -> vec4<f32> {
    let values = x[token * IN_UNITS * UNIT + index];
    if INPUT % 8u == 0u {
        return values;
    }
    return select(vec4<f32>(), values, vec4<u32>(4u * index) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(INPUT));
}
