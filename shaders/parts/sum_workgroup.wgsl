// Sums over one workgroup for each token, through workgroup memory. This is the baseline, for every
// adapter and browser.
struct Lane {
    @builtin(local_invocation_index) index: u32,
}

const FOLD: u32 = LANES / 8u;
var<workgroup> partials: array<f32, LANES>;
var<workgroup> folded: array<f32, FOLD>;

fn token_slot(lane: Lane) -> u32 {
    return 0u;
}

fn lane_index(lane: Lane) -> u32 {
    return lane.index;
}

// Each sum has two barriers. A call may overwrite `partials` because its last readers came before
// the previous call's second barrier, and `folded` because its readers came before this call's
// first one.
fn lane_sum(value: f32, lane: Lane) -> f32 {
    partials[lane.index] = value;
    workgroupBarrier();
    if lane.index < FOLD {
        var sum = 0.0;
        for (var i = lane.index; i < LANES; i += FOLD) {
            sum += partials[i];
        }
        folded[lane.index] = sum;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < FOLD; i++) {
        total += folded[i];
    }
    return total;
}
