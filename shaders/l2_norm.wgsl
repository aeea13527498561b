// Divides each row by its Euclidean norm, or by 1e-12 if the norm is smaller.
//
// LANES invocations share a row. src/kernels/norm.rs puts the launch constants and a reduction before this file.

override UNITS: u32; // vec4s from one row to the next; padding is zero

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [rows, UNITS]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>; // [rows, UNITS]

@compute @workgroup_size(GROUP)
fn main(lane: Lane, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = (group.y * groups.x + group.x) * TOKENS + token_slot(lane);
    if row >= extent() {
        return;
    }
    var partial = 0.0;
    for (var unit = lane_index(lane); unit < UNITS; unit += LANES) {
        let values = x[row * UNITS + unit];
        partial += dot(values, values);
    }
    let scale = 1.0 / max(sqrt(lane_sum(partial, lane)), 1e-12);
    for (var unit = lane_index(lane); unit < UNITS; unit += LANES) {
        y[row * UNITS + unit] = x[row * UNITS + unit] * scale;
    }
}
