// Dense matrix multiplication (DMM) for few tokens, which is bound by reading the weights: y =
// activation(x * weight^T + bias), or y += x * weight^T + bias.
//
// LANES invocations share a row of weight, as they share a token in fff.wgsl, and multiply it by
// AT_ONCE tokens. src/kernels/dense.rs puts a weight4 format, the launch constants, a reduction and
// the activation before this file.

override IN4: u32;        // vec4s from one row of x, or of weight, to the next
override OUT: u32;        // values from one row of y to the next
override ROWS: u32;       // rows of weight
override ACTIVATION: u32; // 0 none, 1 GELU, 2 tanh
override ACCUMULATE: u32; // 1: add to the values in y

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;    // [tokens, IN4]
@group(0) @binding(2) var<storage, read> weight: array<Weight4>; // [ROWS, IN4]
@group(0) @binding(3) var<storage, read> bias: array<f32>;       // [OUT]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;    // [tokens, OUT]

fn finished(sum: f32, row: u32) -> f32 {
    let z = sum + bias[row];
    if row >= ROWS {
        return 0.0; // the padding of y
    }
    if ACTIVATION == 1u {
        return activation(z);
    }
    if ACTIVATION == 2u {
        // This is the tanh of dense.wgsl.
        let t = exp(-2.0 * abs(z));
        let size = (1.0 - t) / (1.0 + t);
        return select(-size, size, z >= 0.0);
    }
    return z;
}

@compute @workgroup_size(GROUP)
fn main(lane: Lane, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = (group.y * groups.x + group.x) * TOKENS + token_slot(lane);
    if row >= OUT {
        return;
    }
    let first = lane_index(lane);
    let first_token = group.z * AT_ONCE;
    let tokens = extent();
    let weight_row = min(row, ROWS - 1u) * IN4;

    var sum: array<f32, AT_ONCE>;
    // If no token is missing, their rows lie at constant distances, and one address serves all.
    // Adapters in software would run both loops.
    if WHOLE_GROUPS == 1u && first_token + AT_ONCE <= tokens {
        /* unrolled */ for (var i = 0u; i < PER_LANE; i++) {
            let unit = first + i * LANES;
            if unit < IN4 {
                let w = widen4(weight[weight_row + unit]);
                /* unrolled */ for (var token = 0u; token < AT_ONCE; token++) {
                    sum[token] += dot(w, x[(first_token + token) * IN4 + unit]);
                }
            }
        }
    } else {
        // Beyond the last token this repeats the last one, and its sums are not stored.
        /* unrolled */ for (var i = 0u; i < PER_LANE; i++) {
            let unit = first + i * LANES;
            if unit < IN4 {
                let w = widen4(weight[weight_row + unit]);
                /* unrolled */ for (var token = 0u; token < AT_ONCE; token++) {
                    sum[token] += dot(w, x[min(first_token + token, max(tokens, 1u) - 1u) * IN4 + unit]);
                }
            }
        }
    }
    /* unrolled */ for (var token = 0u; token < AT_ONCE; token++) {
        let total = lane_sum(sum[token], lane);
        let at = (first_token + token) * OUT + row;
        if first == 0u && first_token + token < tokens {
            let result = finished(total, row);
            if ACCUMULATE == 1u {
                y[at] += result;
            } else {
                y[at] = result;
            }
        }
    }
}
