// The walk through the nodes of the leaf form, which only route.

override DEPTH: u32;
override NODES: u32;      // 2^DEPTH - 1; there is one leaf more
override NODE_BIAS: u32;  // start of the nodes' biases

struct Arrival {
    leaf: u32,
    // Whether a logit that is not finite decided: such a token must not get another leaf's numbers.
    overflowed: bool,
}

fn is_finite(z: f32) -> bool {
    return (bitcast<u32>(z) & 0x7f800000u) != 0x7f800000u;
}

// Walks one token to its leaf. LANES invocations share the token and hold its x. `keeps` says
// whether this one writes the path.
fn walk(token: u32, lane: Lane, x_lane: ptr<function, array<Values, IN_PER_LANE>>, keeps: bool) -> Arrival {
    let first = lane_index(lane);
    var node = 0u;
    var overflowed = false;
    for (var level = 0u; level < DEPTH; level++) {
        var partial = 0.0;
        if first == 0u {
            partial = linear_in_bias[NODE_BIAS + node]; // one lane loads it, the sum carries it to all
        }
        if keeps {
            keep_node(token * (DEPTH + 1u) + level, node);
        }
        /* unrolled */ for (var i = 0u; i < IN_PER_LANE; i++) {
            let unit = within_row(first + i * LANES, i, IN_UNITS);
            partial += dot_values(linear_in[node * IN_UNITS + unit], (*x_lane)[i]);
        }
        let z = lane_sum(partial, lane);
        overflowed = overflowed || !is_finite(z);
        node = 2u * node + select(1u, 2u, z >= 0.0);
    }
    if keeps {
        keep_node(token * (DEPTH + 1u) + DEPTH, node);
    }
    return Arrival(node - NODES, overflowed);
}
