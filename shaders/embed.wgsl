// The input of the encoder: the sum of the word, position and token-type embeddings of each token.
// A word embedding larger than a binding comes in several dispatches, one for each part of the
// vocabulary. src/kernels/rows.rs puts a weight4 format before this file.

override UNITS: u32; // vec4s of a row
override FIRST: u32; // the first id of this part
override ROWS: u32;  // ids of this part

@group(0) @binding(1) var<storage, read> tokens: array<vec4<u32>>;    // id, position, token type, unused
@group(0) @binding(2) var<storage, read> words: array<Weight4>;       // [ROWS, UNITS]
@group(0) @binding(3) var<storage, read> positions: array<vec4<f32>>; // [positions, UNITS]
@group(0) @binding(4) var<storage, read> types: array<vec4<f32>>;     // [token types, UNITS]
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;   // [tokens, UNITS]

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = (group.y * groups.x + group.x) * GROUP + thread;
    let token = index / UNITS;
    if token >= extent() {
        return;
    }
    let unit = index % UNITS;
    let which = tokens[token];
    let row = which.x - FIRST;
    if row >= ROWS {
        return; // the id is in another part; below FIRST the difference wraps
    }
    y[index] = widen4(words[row * UNITS + unit]) + positions[which.y * UNITS + unit] + types[which.z * UNITS + unit];
}
