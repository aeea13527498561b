// x in f16, packed in pairs: [tokens, IN_UNITS] units of eight values side by side. The weights of
// a unit lie side by side too.
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;

fn within_width(values: vec4<f32>, index: u32) -> vec4<f32> {
    if INPUT % 8u == 0u {
        return values;
    }
    return select(vec4<f32>(), values, vec4<u32>(4u * index) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(INPUT));
}

fn x_vec4(token: u32, index: u32) -> vec4<f32> {
    let wide = widen(x[token * IN_UNITS + index / 2u]);
    return within_width(select(wide[1], wide[0], index % 2u == 0u), index);
}

fn load_x(token: u32, unit: u32, i: u32) -> Values {
    let wide = widen(x[token * IN_UNITS + unit]);
    return Values(within_width(wide[0], 2u * unit), within_width(wide[1], 2u * unit + 1u));
}
