// The layer of dense_blocked.wgsl for so few rows that its tiles would leave a device idle: a workgroup
// of SPLIT subgroups computes 16 outputs of 16 * ACROSS rows, and each of its subgroups multiplies every
// SPLIT-th block of inputs. Their sums are added at the end.
// src/kernels/dense_blocked.rs puts the launch constants, the activation, parts/blocked.wgsl and a part
// that stores y before this file.

const GROUP: u32 = 32u * SPLIT;
const UNITS: u32 = 4u * BLOCKS * SPLIT; // vec4s of a row in the tile
const STRIDE: u32 = UNITS + 2u;         // The two more keep rows from meeting in a bank.
const SUM_STRIDE: u32 = 5u;             // One vec4 more than a row of 16 sums has.

var<workgroup> tile_16: array<vec4<f16>, 16u * ACROSS * STRIDE>;
var<workgroup> sums: array<vec4<f32>, SPLIT * 16u * ACROSS * SUM_STRIDE>;

@compute @workgroup_size(GROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let first_row = (group.z * groups.y + group.y) * 16u * ACROSS;
    if first_row >= extent() {
        return;
    }
    let blocks_in = (IN4 + 3u) / 4u;

    var sum: array<coop_mat16x16<f32, C>, ACROSS>;
    for (var first = 0u; first < blocks_in; first += BLOCKS * SPLIT) {
        var a: array<coop_mat16x16<f16, A>, BLOCKS>;
        // Blocks of inputs past the end repeat the last one, and meet zeros.
        /* unrolled */ for (var one = 0u; one < BLOCKS; one++) {
            let block = group.x * blocks_in + min(first + one * SPLIT + subgroup, blocks_in - 1u);
            a[one] = coopLoadT<coop_mat16x16<f16, A>>(&weight[block * 64u], 4u);
        }
        workgroupBarrier(); // The tile before has been read.
        /* unrolled */ for (var load = 0u; load < LOADS; load++) {
            let slot = thread + load * GROUP;
            tile_16[slot / UNITS * STRIDE + slot % UNITS] = load_x(first_row + slot / UNITS, 4u * first + slot % UNITS);
        }
        workgroupBarrier();
        /* unrolled */ for (var one = 0u; one < BLOCKS; one++) {
            /* unrolled */ for (var across = 0u; across < ACROSS; across++) {
                let at = 16u * across * STRIDE + 4u * (one * SPLIT + subgroup);
                let b = coopLoad<coop_mat16x16<f16, B>>(&tile_16[at], STRIDE);
                sum[across] = coopMultiplyAdd(a[one], b, sum[across]);
            }
        }
    }
    /* unrolled */ for (var across = 0u; across < ACROSS; across++) {
        coopStore(sum[across], &sums[(subgroup * ACROSS + across) * 16u * SUM_STRIDE], SUM_STRIDE);
    }
    workgroupBarrier();
    if thread < 64u * ACROSS {
        let row = first_row + thread / 4u;
        let column4 = 4u * group.x + thread % 4u;
        if row < extent() && column4 < OUT4 {
            var total = vec4<f32>();
            /* unrolled */ for (var part = 0u; part < SPLIT; part++) {
                total += sums[(part * 16u * ACROSS + thread / 4u) * SUM_STRIDE + thread % 4u];
            }
            store_y(row * OUT4 + column4, finished(total, column4));
        }
    }
}
