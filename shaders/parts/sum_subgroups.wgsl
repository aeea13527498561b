// Sums over one workgroup of several subgroups, of any size, for each token. Each subgroup sums by
// itself; the results are added through workgroup memory.
struct Lane {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) invocation: u32,
    @builtin(num_subgroups) subgroups: u32,
}

var<workgroup> partials: array<f32, LANES>; // one for each subgroup; there are at most LANES

fn token_slot(lane: Lane) -> u32 {
    return 0u;
}

fn lane_index(lane: Lane) -> u32 {
    return lane.index;
}

fn lane_sum(value: f32, lane: Lane) -> f32 {
    let sum = subgroupAdd(value);
    workgroupBarrier(); // the previous sum has been read
    if lane.invocation == 0u {
        partials[lane.subgroup] = sum;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < lane.subgroups; i++) {
        total += partials[i];
    }
    return total;
}
