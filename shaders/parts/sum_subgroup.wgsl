// One token a subgroup, TOKENS subgroups a workgroup: no barrier, no workgroup memory.
// Chosen only where every subgroup of the adapter has exactly LANES invocations.
struct Lane {
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) index: u32,
}

fn token_slot(lane: Lane) -> u32 {
    return lane.subgroup;
}

fn lane_index(lane: Lane) -> u32 {
    return lane.index;
}

fn lane_sum(value: f32, lane: Lane) -> f32 {
    return subgroupAdd(value);
}
