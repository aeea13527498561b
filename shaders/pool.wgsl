// Pools each sequence to a row: the mean, maximum or log-sum-exp over its tokens, or the mean over
// its unmasked tokens.

override UNITS: u32; // vec4s of a row
override WIDTH: u32; // values of a row without padding
override MODE: u32;  // 0 mean over unmasked tokens, 1 mean, 2 maximum, 3 log-sum-exp

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;          // [tokens, UNITS]
@group(0) @binding(2) var<storage, read> sequences: array<vec2<u32>>;  // first token, tokens (at least one)
@group(0) @binding(3) var<storage, read> masked: array<f32>;           // [tokens]: 0, or the value that masks a key
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
    var all = vec4<f32>(); // the sum of all, which keeps NaN and infinities; max() may drop a NaN
    for (var token = sequence.x; token < sequence.x + sequence.y; token++) {
        let values = x[token * UNITS + unit];
        largest = max(largest, values);
        all += values;
        if MODE == 1u || (MODE == 0u && masked[token] == 0.0) {
            sum += values;
            count += 1.0;
        }
    }
    if MODE == 3u {
        for (var token = sequence.x; token < sequence.x + sequence.y; token++) {
            sum += exp(x[token * UNITS + unit] - largest);
        }
        sum = largest + log(sum);
    } else if MODE == 2u {
        // This tests bits, which no compiler may assume away.
        let exponent = bitcast<vec4<u32>>(all) & vec4<u32>(0x7f800000u);
        sum = select(largest, all, exponent == vec4<u32>(0x7f800000u));
    } else {
        sum = sum / max(count, 1.0);
    }
    // The padding of y stays zero.
    y[index] = select(vec4<f32>(), sum, vec4<u32>(4u * unit) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(WIDTH));
}
