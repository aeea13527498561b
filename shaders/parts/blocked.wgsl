// The bindings of a dense layer whose weights lie in blocks of 16 outputs x 16 inputs. The file that
// follows defines UNITS, the number of vec4s of a row of x in its tile.

override IN4: u32;        // vec4s from one row of x to the next
override OUT4: u32;       // vec4s from one row of y to the next
override ROWS: u32;       // outputs without padding
override ACTIVATION: u32; // 0 none, 1 GELU

@group(0) @binding(1) var<storage, read> x: array<vec4<f16>>;      // [rows, IN4]
@group(0) @binding(2) var<storage, read> weight: array<vec4<f16>>; // [blocks of outputs, blocks of inputs, 16, 4], zero in the padding
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;   // [OUT4]

// Rows past the end repeat the last one, and their results are not stored. Inputs past the end are zero.
fn load_x(row: u32, unit: u32) -> vec4<f16> {
    if IN4 % UNITS != 0u && unit >= IN4 {
        return vec4<f16>();
    }
    return x[min(row, extent() - 1u) * IN4 + unit];
}

fn finished(value: vec4<f32>, column4: u32) -> vec4<f32> {
    var result = value + bias[column4];
    if ACTIVATION == 1u {
        result = vec4<f32>(activation(result.x), activation(result.y), activation(result.z), activation(result.w));
    }
    if ROWS == 4u * OUT4 {
        return result;
    }
    return select(vec4<f32>(), result, vec4<u32>(4u * column4) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(ROWS));
}
