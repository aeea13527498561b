// x in f16, packed in pairs. The padding of a row counts as zeros, whatever it holds.
override INPUT: u32; // values of a row

@group(0) @binding(1) var<storage, read> x: array<vec2<u32>>; // [rows, IN4]

fn x4(row: u32, k4: u32) -> vec4<f32> {
    let pairs = x[row * IN4 + k4];
    let values = vec4<f32>(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
    if INPUT == 4u * IN4 {
        return values;
    }
    return select(vec4<f32>(), values, vec4<u32>(4u * k4) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(INPUT));
}
