// An FFF layer in the leaf form for few tokens, in one dispatch. Each token has a workgroup of
// TEAMS teams of LANES invocations.
//
// Every team walks to the leaf by itself, so that no barrier is needed on the way. Then the teams
// share the leaf's neurons, BLOCK of them at a time, and all invocations share the units of y. If
// there are more invocations than units, SPLITS of them share a unit. src/kernels/leaf.rs puts a
// weight format, the launch constants, a reduction, the activation, the walk and a path part before
// this file.

override WIDTH: u32;        // neurons of a leaf
override WIDTH_STRIDE: u32; // distance from one leaf's biases to the next's
override OUTPUT_BIAS: u32;  // start of the leaves' output biases

const VALUES: u32 = 4u * UNIT; // values of a unit

var<workgroup> neurons: array<f32, BLOCK>;
var<workgroup> sums: array<Values, SHARED>;

@compute @workgroup_size(GROUP)
fn main(lane: Lane, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let token = group.y * groups.x + group.x;
    if token >= extent() {
        return;
    }
    let first = lane_index(lane);
    let team = token_slot(lane);
    let thread = team * LANES + first;

    var x_lane: array<Values, IN_PER_LANE>;
    /* unrolled */ for (var i = 0u; i < IN_PER_LANE; i++) {
        let unit = first + i * LANES;
        if in_row(unit, i, IN_UNITS) {
            x_lane[i] = load_x(token, unit, i);
        }
    }
    let arrival = walk(token, lane, &x_lane, thread == 0u);
    let leaf = arrival.leaf;

    let split = thread / OUT_SPAN;
    let first_out = thread % OUT_SPAN;
    var y_thread: array<Values, OUT_PER_THREAD>;
    for (var block = 0u; block < WIDTH; block += BLOCK) {
        for (var place = 0u; place < BLOCK; place += TEAMS) {
            // Beyond the last neuron this repeats the last one, which is not kept.
            let neuron = min(block + place + team, WIDTH - 1u);
            let row = NODES + leaf * WIDTH + neuron;
            var partial = 0.0;
            if first == 0u {
                partial = linear_in_bias[leaf * WIDTH_STRIDE + neuron];
            }
            /* unrolled */ for (var i = 0u; i < IN_PER_LANE; i++) {
                let unit = within_row(first + i * LANES, i, IN_UNITS);
                partial += dot_values(linear_in[row * IN_UNITS + unit], x_lane[i]);
            }
            let z = lane_sum(partial, lane);
            if first == 0u && place + team < BLOCK {
                neurons[place + team] = of_neuron(z);
            }
        }
        workgroupBarrier();
        if split < SPLITS {
            for (var place = split; place < min(BLOCK, WIDTH - block); place += SPLITS) {
                let scale = neurons[place];
                let row = leaf * WIDTH + block + place;
                /* unrolled */ for (var i = 0u; i < OUT_PER_THREAD; i++) {
                    let unit = min(first_out + i * OUT_SPAN, OUT_UNITS - 1u);
                    y_thread[i] = scale_add(scale, linear_out[row * OUT_UNITS + unit], y_thread[i]);
                }
            }
        }
        workgroupBarrier();
    }
    if SPLITS > 1u {
        if split < SPLITS {
            sums[thread] = y_thread[0];
        }
        workgroupBarrier();
        if split == 0u {
            for (var other = 1u; other < SPLITS; other++) {
                y_thread[0] += sums[other * OUT_SPAN + first_out];
            }
        }
    }
    if split == 0u {
        // This is NaN if a decision overflowed.
        let wrong = bitcast<f32>(select(0u, 0x7fc00000u, arrival.overflowed));
        /* unrolled */ for (var i = 0u; i < OUT_PER_THREAD; i++) {
            let unit = first_out + i * OUT_SPAN;
            if unit < OUT_UNITS {
                let bias = bias_values(OUTPUT_BIAS + (leaf * OUT_UNITS + unit) * VALUES, wrong);
                store_y(token, unit, i, y_thread[i] + bias);
            }
        }
    }
}
