// The dense layers of an FFF layer's leaves on cooperative matrices (tensor cores), with f16 inputs
// and f32 sums: y = activation(x * weight^T + bias) in f16 or f32, or y += x * weight^T + bias in f32.
//
// A workgroup of DOWN x ACROSS subgroups computes a tile of ROWS_TILE tokens x COLUMNS_TILE
// outputs; each subgroup keeps SUB_DOWN x SUB_ACROSS matrices of 16 x 16 in registers. Tiles of 8 *
// UNITS inputs pass through workgroup memory. The next tiles are on their way in registers while
// these are multiplied. src/kernels/dense_coop.rs puts before this file the launch constants and the
// activation, and src/kernels/leaf.rs the parts that say where x, weights and y are.

override IN8: u32;        // units of eight f16 from one row of x, or of weight, to the next
override INPUT: u32;      // values of a row of x; its padding counts as zeros, whatever it holds
override OUT4: u32;       // units of four values from one row of y to the next
override ROWS: u32;       // rows of weight
override ACTIVATION: u32; // 0 none, 1 GELU, 3 ReLU

struct Half8 {
    low: vec4<f16>,
    high: vec4<f16>,
}

@group(0) @binding(1) var<storage, read> x: array<Half8>;        // [rows, IN8]
@group(0) @binding(2) var<storage, read> weight: array<Half8>;   // [ROWS, IN8] for each matrix, or by input
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // [OUT4] for each matrix

const GROUP: u32 = 32u * DOWN * ACROSS;
const ROWS_TILE: u32 = 16u * SUB_DOWN * DOWN;
const COLUMNS_TILE: u32 = 16u * SUB_ACROSS * ACROSS;
const STRIDE: u32 = 2u * UNITS + 2u; // vec4s of a tile's row: two more than its inputs, so that rows meet in no bank
const TILE_X: u32 = ROWS_TILE * STRIDE;
const TILE: u32 = TILE_X + WEIGHT_ROWS * WEIGHT_STRIDE;
// vec4s of a row of 16 sums, and one more if workgroup memory has room for it.
const OUT_STRIDE: u32 = select(5u, 4u, DOWN * ACROSS > 8u);

// This holds the tile of x, then that of weight. NVIDIA's driver compiles matrices that are loaded
// from vec4<f16>, but not from vec4<u32>.
var<workgroup> tiles_16: array<vec4<f16>, TILE>;
// This holds a matrix of sums for each subgroup. Every lane finds four values side by side in it.
var<workgroup> sums: array<vec4<f32>, DOWN * ACROSS * 16u * OUT_STRIDE>;

var<workgroup> shared_tile: Tile;

// Rows past the end repeat the last one, and their results are not stored. Inputs past the end are
// zero.
fn load_x(end: u32, row: u32, unit: u32) -> Half8 {
    if unit >= IN8 {
        return Half8();
    }
    let values = x[x_row(min(row, max(end, 1u) - 1u)) * IN8 + unit];
    if INPUT == 8u * IN8 {
        return values;
    }
    let index = vec4<u32>(8u * unit) + vec4<u32>(0u, 1u, 2u, 3u);
    return Half8(
        select(vec4<f16>(), values.low, index < vec4<u32>(INPUT)),
        select(vec4<f16>(), values.high, index + 4u < vec4<u32>(INPUT)),
    );
}

fn keep(at: u32, unit: Half8) {
    tiles_16[at] = unit.low;
    tiles_16[at + 1u] = unit.high;
}

fn finished(value: vec4<f32>, matrix: u32, column4: u32) -> vec4<f32> {
    var result = value + bias[bias_of(matrix) + column4];
    if ACTIVATION == 1u {
        result = vec4<f32>(activation(result.x), activation(result.y), activation(result.z), activation(result.w));
    }
    if ACTIVATION == 3u {
        // A sum that overflowed stays as it is.
        result = select(result, vec4<f32>(), (result < vec4<f32>()) & (bitcast<vec4<u32>>(result) != vec4<u32>(0xff800000u)));
    }
    if ROWS == 4u * OUT4 {
        return result;
    }
    return select(vec4<f32>(), result, vec4<u32>(4u * column4) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(ROWS));
}

@compute @workgroup_size(GROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let first_column = group.x * COLUMNS_TILE;
    // The tile passes through workgroup memory, so that a compiler knows that it is the same for
    // all.
    if thread == 0u {
        shared_tile = tile_at(group.z * groups.y + group.y, ROWS_TILE);
    }
    let tile = workgroupUniformLoad(&shared_tile);
    if tile.first >= tile.end {
        return;
    }
    let first_row = tile.first;
    let from_row = 16u * SUB_DOWN * (subgroup / ACROSS);
    let from_column = 16u * SUB_ACROSS * (subgroup % ACROSS);

    var sum: array<coop_mat16x16<f32, C>, MATRICES>;
    var next_x: array<Half8, LOADS_X>;
    var next_weight: array<Half8, LOADS_WEIGHT>;
    /* unrolled */ for (var load = 0u; load < LOADS_X; load++) {
        let slot = thread + load * GROUP;
        next_x[load] = load_x(tile.end, first_row + slot / UNITS, slot % UNITS);
    }
    /* unrolled */ for (var load = 0u; load < LOADS_WEIGHT; load++) {
        let slot = thread + load * GROUP;
        next_weight[load] = load_weight(tile.matrix, first_column, 0u, slot);
    }
    for (var unit = 0u; unit < IN8; unit += UNITS) {
        /* unrolled */ for (var load = 0u; load < LOADS_X; load++) {
            let slot = thread + load * GROUP;
            keep(slot / UNITS * STRIDE + 2u * (slot % UNITS), next_x[load]);
        }
        /* unrolled */ for (var load = 0u; load < LOADS_WEIGHT; load++) {
            let slot = thread + load * GROUP;
            keep(weight_place(slot), next_weight[load]);
        }
        workgroupBarrier();
        /* unrolled */ for (var load = 0u; load < LOADS_X; load++) {
            let slot = thread + load * GROUP;
            next_x[load] = load_x(tile.end, first_row + slot / UNITS, unit + UNITS + slot % UNITS);
        }
        /* unrolled */ for (var load = 0u; load < LOADS_WEIGHT; load++) {
            let slot = thread + load * GROUP;
            next_weight[load] = load_weight(tile.matrix, first_column, unit + UNITS, slot);
        }
        /* unrolled */ for (var k = 0u; k < STEPS; k++) {
            var a: array<coop_mat16x16<f16, A>, SUB_DOWN>;
            /* unrolled */ for (var down = 0u; down < SUB_DOWN; down++) {
                a[down] = coopLoadT<coop_mat16x16<f16, A>>(&tiles_16[(from_row + 16u * down) * STRIDE + 4u * k], STRIDE);
            }
            /* unrolled */ for (var across = 0u; across < SUB_ACROSS; across++) {
                let b = weight_matrix(from_column + 16u * across, k);
                /* unrolled */ for (var down = 0u; down < SUB_DOWN; down++) {
                    sum[down * SUB_ACROSS + across] = coopMultiplyAdd(a[down], b, sum[down * SUB_ACROSS + across]);
                }
            }
        }
        workgroupBarrier();
    }

    let own = subgroup * 16u * OUT_STRIDE;
    /* unrolled */ for (var matrix = 0u; matrix < MATRICES; matrix++) {
        workgroupBarrier();
        coopStoreT(sum[matrix], &sums[own], OUT_STRIDE);
        workgroupBarrier();
        /* unrolled */ for (var i = 0u; i < TWO; i++) {
            let slot = lane + 32u * i;
            let row = first_row + from_row + 16u * (matrix / SUB_ACROSS) + slot / 4u;
            let column4 = (first_column + from_column) / 4u + 4u * (matrix % SUB_ACROSS) + slot % 4u;
            if row < tile.end && column4 < OUT4 {
                let value = finished(sums[own + slot / 4u * OUT_STRIDE + slot % 4u], tile.matrix, column4);
                store_y(y_row(row) * OUT4 + column4, of_row(row, value));
            }
        }
    }
}
