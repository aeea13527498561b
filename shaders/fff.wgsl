// Conditional matrix multiplication: one FFF layer in one dispatch.
//
// LANES invocations share one token. They keep its x and its y in registers, walk every tree from
// root to leaf, and add activation(z) * linear_out[node] for each node on the way. No rows but the
// chosen ones are read. In the signed form (SIDES = 2) a node has two output rows, and its logit
// decides which one is added. That row is loaded together with the next node's row, and added one
// level later. (Before the first level row 0 is read once, and added 0 times.) src/kernels/fff.rs
// puts a weight format, the launch constants, a reduction, the activation, the layer and a path
// part before this file.

@compute @workgroup_size(GROUP)
fn main(lane: Lane, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let token = (group.y * groups.x + group.x) * TOKENS + token_slot(lane);
    if token >= extent() {
        return;
    }
    let first = lane_index(lane);

    var x_lane: array<Values, IN_PER_LANE>;
    /* unrolled */ for (var i = 0u; i < IN_PER_LANE; i++) {
        let unit = first + i * LANES;
        if in_row(unit, i, IN_UNITS) {
            x_lane[i] = load_x(token, unit, i);
        }
    }
    var y_lane: array<Values, OUT_PER_LANE>;
    // In the signed form these are the output row and the scale of the previous level; before the
    // first level they are row 0, times 0.
    var pending_row = 0u;
    var pending = 0.0;

    /* unrolled */ for (var tree = 0u; tree < TREES; tree++) {
        var node = 0u;
        for (var level = 0u; level <= DEPTH; level++) {
            let row = tree * NODES + node;
            var partial = 0.0;
            if first == 0u {
                keep_node((token * TREES + tree) * (DEPTH + 1u) + level, node);
                partial = linear_in_bias[row]; // one lane loads it, the sum carries it to all
            }
            /* unrolled */ for (var i = 0u; i < IN_PER_LANE; i++) {
                let unit = within_row(first + i * LANES, i, IN_UNITS);
                partial += dot_values(linear_in[row * IN_UNITS + unit], x_lane[i]);
            }
            // The row is loaded before the sum is known, so that the latencies of the two rows
            // overlap.
            let out_row = select(row, pending_row, SIDES == 2u);
            var out_lane: array<Weights, OUT_PER_LANE>;
            /* unrolled */ for (var i = 0u; i < OUT_PER_LANE; i++) {
                let unit = within_row(first + i * LANES, i, OUT_UNITS);
                out_lane[i] = linear_out[out_row * OUT_UNITS + unit];
            }
            let z = lane_sum(partial, lane);
            let engaged = select(engaged_by(z), pending, SIDES == 2u);
            /* unrolled */ for (var i = 0u; i < OUT_PER_LANE; i++) {
                y_lane[i] = scale_add(engaged, out_lane[i], y_lane[i]);
            }
            pending_row = output_row(row, z);
            pending = engaged_by(z);
            node = 2u * node + select(1u, 2u, z > 0.0);
        }
    }
    if SIDES == 2u {
        /* unrolled */ for (var i = 0u; i < OUT_PER_LANE; i++) {
            let unit = within_row(first + i * LANES, i, OUT_UNITS);
            y_lane[i] = scale_add(pending, linear_out[pending_row * OUT_UNITS + unit], y_lane[i]);
        }
    }

    /* unrolled */ for (var i = 0u; i < OUT_PER_LANE; i++) {
        let unit = first + i * LANES;
        if in_row(unit, i, OUT_UNITS) {
            store_y(token, unit, i, y_lane[i]);
        }
    }
}
