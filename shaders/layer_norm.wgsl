// LayerNorm of each row: (x - mean) / sqrt(variance + EPS) * weight + bias. The biased variance
// takes two passes over registers.
//
// LANES invocations share a row, as in fff.wgsl. src/kernels/norm.rs puts the launch constants, a
// reduction and a part that stores y before this file.

override WIDTH: u32; // values of a row without padding
override UNITS: u32; // vec4s from one row to the next

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [tokens, UNITS]
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;  // [UNITS]; its padding is zero, and so is that of y
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;    // [UNITS]

@compute @workgroup_size(GROUP)
fn main(lane: Lane, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let token = (group.y * groups.x + group.x) * TOKENS + token_slot(lane);
    if token >= extent() {
        return;
    }
    let first = lane_index(lane);

    var x_lane: array<vec4<f32>, PER_LANE>;
    var partial = 0.0;
    /* unrolled */ for (var i = 0u; i < PER_LANE; i++) {
        let unit = first + i * LANES;
        if unit < UNITS {
            x_lane[i] = x[token * UNITS + unit];
            partial += dot(x_lane[i], vec4<f32>(1.0)); // the padding is zero
        }
    }
    let mean = lane_sum(partial, lane) / f32(WIDTH);
    partial = 0.0;
    /* unrolled */ for (var i = 0u; i < PER_LANE; i++) {
        let index = 4u * (first + i * LANES);
        let within = vec4<u32>(index) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(WIDTH);
        x_lane[i] = select(vec4<f32>(), x_lane[i] - mean, within);
        partial += dot(x_lane[i], x_lane[i]);
    }
    let scale = 1.0 / sqrt(lane_sum(partial, lane) / f32(WIDTH) + EPS);
    /* unrolled */ for (var i = 0u; i < PER_LANE; i++) {
        let unit = first + i * LANES;
        if unit < UNITS {
            store_y(token * UNITS + unit, x_lane[i] * scale * weight[unit] + bias[unit]);
        }
    }
}
