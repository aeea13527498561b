// Dense matrix multiplication (DMM) on cooperative matrices (tensor cores), with f16 inputs and f32 sums:
// y = activation(x * weight^T + bias) in f16, or y += x * weight^T + bias in f32.
//
// The weights lie in blocks of 16 outputs x 16 inputs, as a matrix in registers wants them. Each subgroup
// loads its own blocks straight from memory, AHEAD steps before it multiplies them. Only the rows of x
// pass through workgroup memory, in tiles of 16 * STEPS inputs; the next tile is on its way in registers
// meanwhile.
// A workgroup of DOWN x ACROSS subgroups computes 16 * SUB_DOWN * DOWN outputs of ROWS_TILE rows, and each
// subgroup computes SUB_DOWN x SUB_ACROSS matrices of 16 outputs x 16 rows: the matrices hold y transposed.
// src/kernels/dense_blocked.rs puts the launch constants, the activation, parts/blocked.wgsl and a part
// that stores y before this file.

const GROUP: u32 = 32u * DOWN * ACROSS;
const ROWS_TILE: u32 = 16u * SUB_ACROSS * ACROSS;
const UNITS: u32 = 4u * STEPS;  // vec4s of a row in the tile
const STRIDE: u32 = UNITS + 2u; // The two more keep rows from meeting in a bank.
// The number of vec4s in a row of a subgroup's sums in workgroup memory: one more than PAIR matrices have.
const SUM_STRIDE: u32 = 4u * PAIR + 1u;

var<workgroup> tile_16: array<vec4<f16>, ROWS_TILE * STRIDE>;
var<workgroup> sums: array<vec4<f32>, DOWN * ACROSS * 16u * SUM_STRIDE>;

@compute @workgroup_size(GROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let first_row = (group.z * groups.y + group.y) * ROWS_TILE;
    if first_row >= extent() {
        return;
    }
    let blocks_in = (IN4 + 3u) / 4u;
    let blocks_out = (OUT4 + 3u) / 4u;
    let last = (blocks_in - 1u) / STEPS * STEPS;
    // Blocks of outputs past the end repeat the last one.
    let first_block = SUB_DOWN * (DOWN * group.x + subgroup / ACROSS);
    let from_row = 16u * SUB_ACROSS * (subgroup % ACROSS);

    var sum: array<coop_mat16x16<f32, C>, MATRICES>;
    var next_weight: array<coop_mat16x16<f16, A>, NEXT>;
    var next_x: array<vec4<f16>, LOADS>;
    /* unrolled */ for (var load = 0u; load < LOADS; load++) {
        let slot = thread + load * GROUP;
        next_x[load] = load_x(first_row + slot / UNITS, slot % UNITS);
    }
    /* unrolled */ for (var step = 0u; step < AHEAD; step++) {
        /* unrolled */ for (var down = 0u; down < SUB_DOWN; down++) {
            let block = min(first_block + down, blocks_out - 1u) * blocks_in + min(step, blocks_in - 1u);
            next_weight[step * SUB_DOWN + down] = coopLoadT<coop_mat16x16<f16, A>>(&weight[block * 64u], 4u);
        }
    }
    for (var first = 0u; first < blocks_in; first += STEPS) {
        /* unrolled */ for (var load = 0u; load < LOADS; load++) {
            let slot = thread + load * GROUP;
            tile_16[slot / UNITS * STRIDE + slot % UNITS] = next_x[load];
        }
        workgroupBarrier();
        let next = min(first + STEPS, last);
        /* unrolled */ for (var load = 0u; load < LOADS; load++) {
            let slot = thread + load * GROUP;
            next_x[load] = load_x(first_row + slot / UNITS, 4u * next + slot % UNITS);
        }
        /* unrolled */ for (var step = 0u; step < STEPS; step++) {
            var a: array<coop_mat16x16<f16, A>, SUB_DOWN>;
            let place = step % AHEAD * SUB_DOWN;
            let ahead = min(select(next, first, step + AHEAD < STEPS) + (step + AHEAD) % STEPS, blocks_in - 1u);
            /* unrolled */ for (var down = 0u; down < SUB_DOWN; down++) {
                a[down] = next_weight[place + down];
                let block = min(first_block + down, blocks_out - 1u) * blocks_in + ahead;
                next_weight[place + down] = coopLoadT<coop_mat16x16<f16, A>>(&weight[block * 64u], 4u);
            }
            /* unrolled */ for (var across = 0u; across < SUB_ACROSS; across++) {
                let b = coopLoad<coop_mat16x16<f16, B>>(&tile_16[(from_row + 16u * across) * STRIDE + 4u * step], STRIDE);
                /* unrolled */ for (var down = 0u; down < SUB_DOWN; down++) {
                    sum[down * SUB_ACROSS + across] = coopMultiplyAdd(a[down], b, sum[down * SUB_ACROSS + across]);
                }
            }
        }
        workgroupBarrier();
    }

    let own = subgroup * 16u * SUM_STRIDE;
    /* unrolled */ for (var across = 0u; across < SUB_ACROSS; across++) {
        /* unrolled */ for (var pair = 0u; pair < PAIRS; pair++) {
            workgroupBarrier();
            /* unrolled */ for (var one = 0u; one < PAIR; one++) {
                coopStore(sum[(PAIR * pair + one) * SUB_ACROSS + across], &sums[own + 4u * one], SUM_STRIDE);
            }
            workgroupBarrier();
            /* unrolled */ for (var i = 0u; i < STORES; i++) {
                let slot = lane + 32u * i;
                let row = first_row + from_row + 16u * across + slot / (4u * PAIR);
                let column4 = 4u * (first_block + PAIR * pair) + slot % (4u * PAIR);
                if row < extent() && column4 < OUT4 {
                    store_y(row * OUT4 + column4, finished(sums[own + slot / (4u * PAIR) * SUM_STRIDE + slot % (4u * PAIR)], column4));
                }
            }
        }
    }
}
