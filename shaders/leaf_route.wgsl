// The first step of the leaf form for many tokens. Each token walks to its leaf, and takes a number
// among the tokens of that leaf.
//
// src/kernels/leaf.rs puts a weight format, the launch constants, a reduction, the walk and a path part before this file.

// This holds three things. [LEAVES]: the tokens of each leaf, zero before the first token and again
// after leaf_group.wgsl. [LEAVES]: where the tokens of each leaf begin, after leaf_group.wgsl.
// [tokens, 2]: each token's leaf, and its number there.
@group(0) @binding(5) var<storage, read_write> routes: array<atomic<u32>>;

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
    let arrival = walk(token, lane, &x_lane, first == 0u);
    if first == 0u {
        let number = atomicAdd(&routes[arrival.leaf], 1u);
        let at = 2u * (NODES + 1u) + 2u * token;
        // The highest bit says that a decision overflowed.
        atomicStore(&routes[at], arrival.leaf | select(0u, 0x80000000u, arrival.overflowed));
        atomicStore(&routes[at + 1u], number);
    }
}
