// Copies the rows of x that `rows` lists to y.

override UNITS: u32; // vec4s of a row

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [tokens, UNITS]
@group(0) @binding(2) var<storage, read> rows: array<u32>;          // [rows]
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>; // [rows, UNITS]

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = (group.y * groups.x + group.x) * GROUP + thread;
    let row = index / UNITS;
    if row < extent() {
        y[index] = x[rows[row] * UNITS + index % UNITS];
    }
}
