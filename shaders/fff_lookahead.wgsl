// Conditional matrix multiplication for few tokens: one FFF layer in one dispatch, with a workgroup
// for each token.
//
// A walk is a chain of decisions, each of which waits for a row. Here 2^AHEAD - 1 subgroups
// evaluate the whole subtree of the next AHEAD levels at once, and AHEAD of its nodes turn out to
// be engaged. More rows are read, but the chain is AHEAD times shorter. Meanwhile further subgroups
// add the rows that the previous step engaged to y. src/kernels/fff.rs puts a weight format, the
// launch constants, the reduction of one subgroup, the activation, the layer and a path part before
// this file.

// Logits of a subtree in heap order. A step writes one half while slower subgroups may still read
// the other.
var<workgroup> logits: array<f32, 2u * SUBTREE>;

// Returns the node at a place, in heap order, of the subtree below `root`. Below the leaves this is
// the last node, which nobody asks for.
fn node_within(root: u32, place: u32) -> u32 {
    let below = firstLeadingBit(place + 1u);
    return min(((root + 1u) << below) + place - (1u << below), NODES - 1u);
}

@compute @workgroup_size(GROUP)
fn main(lane: Lane, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let token = group.y * groups.x + group.x;
    if token >= extent() {
        return;
    }
    let evaluates = lane.subgroup < SUBTREE;
    let first = lane_index(lane);
    let first_out = (lane.subgroup - SUBTREE) * LANES + first; // for the subgroups that accumulate

    var x_lane: array<Values, IN_PER_LANE>;
    if evaluates {
        /* unrolled */ for (var i = 0u; i < IN_PER_LANE; i++) {
            let unit = first + i * LANES;
            if in_row(unit, i, IN_UNITS) {
                x_lane[i] = load_x(token, unit, i);
            }
        }
    }
    var y_thread: array<Values, OUT_PER_THREAD>;

    /* unrolled */ for (var tree = 0u; tree < TREES; tree++) {
        var root = 0u;
        // The previous step engaged these: places in its subtree, output rows, logits.
        var engaged: array<u32, AHEAD>;
        var engaged_row: array<u32, AHEAD>;
        var z: array<f32, AHEAD>;
        // Every row that the last step may engage is loaded before it is known which ones it will.
        // In the signed form these would be twice as many, and it is faster to wait.
        var candidate: array<Weights, SUBTREE * OUT_PER_THREAD>;
        /* unrolled */ for (var step = 0u; step < STEPS; step++) {
            let slot = ((tree * STEPS + step) % 2u) * SUBTREE;
            if evaluates {
                let row = tree * NODES + node_within(root, lane.subgroup);
                var partial = 0.0;
                if first == 0u {
                    partial = linear_in_bias[row];
                }
                /* unrolled */ for (var i = 0u; i < IN_PER_LANE; i++) {
                    let unit = within_row(first + i * LANES, i, IN_UNITS);
                    partial += dot_values(linear_in[row * IN_UNITS + unit], x_lane[i]);
                }
                let sum = lane_sum(partial, lane);
                if first == 0u {
                    logits[slot + lane.subgroup] = sum;
                }
            } else {
                if SIDES == 1u && step + 1u == STEPS {
                    /* unrolled */ for (var place = 0u; place < SUBTREE; place++) {
                        let row = tree * NODES + node_within(root, place);
                        /* unrolled */ for (var i = 0u; i < OUT_PER_THREAD; i++) {
                            candidate[place * OUT_PER_THREAD + i] = linear_out[row * OUT_UNITS + min(first_out + i * OUT_THREADS, OUT_UNITS - 1u)];
                        }
                    }
                }
                if step > 0u {
                    /* unrolled */ for (var level = 0u; level < AHEAD; level++) {
                        let scale = engaged_by(z[level]);
                        /* unrolled */ for (var i = 0u; i < OUT_PER_THREAD; i++) {
                            let unit = min(first_out + i * OUT_THREADS, OUT_UNITS - 1u);
                            y_thread[i] = scale_add(scale, linear_out[engaged_row[level] * OUT_UNITS + unit], y_thread[i]);
                        }
                    }
                }
            }
            workgroupBarrier();
            var here = 0u; // in heap order
            /* unrolled */ for (var level = 0u; level < AHEAD; level++) {
                z[level] = 0.0; // nothing below the leaves, as activation(0) = 0
                if step * AHEAD + level <= DEPTH {
                    z[level] = logits[slot + here];
                    engaged[level] = here;
                    let node = node_within(root, here);
                    if lane.subgroup == 0u && first == 0u {
                        keep_node((token * TREES + tree) * (DEPTH + 1u) + step * AHEAD + level, node);
                    }
                    engaged_row[level] = output_row(tree * NODES + node, z[level]);
                    here = 2u * here + select(1u, 2u, z[level] > 0.0);
                }
            }
            root = ((root + 1u) << AHEAD) + here - (1u << AHEAD);
        }
        if !evaluates && SIDES == 1u {
            /* unrolled */ for (var level = 0u; level < AHEAD; level++) {
                let scale = engaged_by(z[level]);
                /* unrolled */ for (var place = 0u; place < SUBTREE; place++) {
                    if engaged[level] == place {
                        /* unrolled */ for (var i = 0u; i < OUT_PER_THREAD; i++) {
                            y_thread[i] = scale_add(scale, candidate[place * OUT_PER_THREAD + i], y_thread[i]);
                        }
                    }
                }
            }
        }
        if !evaluates && SIDES == 2u {
            /* unrolled */ for (var level = 0u; level < AHEAD; level++) {
                let scale = engaged_by(z[level]);
                /* unrolled */ for (var i = 0u; i < OUT_PER_THREAD; i++) {
                    let unit = min(first_out + i * OUT_THREADS, OUT_UNITS - 1u);
                    y_thread[i] = scale_add(scale, linear_out[engaged_row[level] * OUT_UNITS + unit], y_thread[i]);
                }
            }
        }
    }

    if !evaluates {
        /* unrolled */ for (var i = 0u; i < OUT_PER_THREAD; i++) {
            let unit = first_out + i * OUT_THREADS;
            if unit < OUT_UNITS {
                store_y(token, unit, unit / LANES, y_thread[i]);
            }
        }
    }
}
