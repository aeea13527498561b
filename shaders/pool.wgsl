// One row for each sequence: the mean, maximum or log-sum-exp over its tokens, or the mean over its unmasked ones.

override UNITS: u32; // vec4s of a row
override MODE: u32;  // 0 mean over unmasked tokens, 1 mean, 2 maximum, 3 log-sum-exp

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;          // [tokens, UNITS]
@group(0) @binding(2) var<storage, read> sequences: array<vec2<u32>>;  // first token, tokens (at least one)
@group(0) @binding(3) var<storage, read> masked: array<f32>;           // [tokens]: 0, or what masks a key
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;    // [sequences, UNITS]

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = (group.y * groups.x + group.x) * GROUP + thread;
    if index / UNITS >= extent() {
        return;
    }
    let sequence = sequences[index / UNITS];
    let unit = index % UNITS;
    var sum = vec4<f32>();
    var count = 0.0;
    var largest = vec4<f32>(-3.4e38);
    for (var token = sequence.x; token < sequence.x + sequence.y; token++) {
        let values = x[token * UNITS + unit];
        largest = max(largest, values);
        if MODE == 1u || (MODE == 0u && masked[token] == 0.0) {
            sum += values;
            count += 1.0;
        }
    }
    if MODE == 3u {
        for (var token = sequence.x; token < sequence.x + sequence.y; token++) {
            sum += exp(x[token * UNITS + unit] - largest);
        }
        y[index] = largest + log(sum);
    } else if MODE == 2u {
        y[index] = largest;
    } else {
        y[index] = sum / max(count, 1.0);
    }
}
