// Dense matrix multiplication (DMM) on cooperative matrices (tensor cores): f16 in, f32 sums, y = activation(x * weight^T + bias) in f16.
//
// A workgroup of eight subgroups computes 128 tokens x 128 outputs, each subgroup 64 x 32 in eight 16 x 16 matrices of registers. Tiles of
// 64 inputs pass through workgroup memory; the next ones are on their way in registers while these are multiplied.
// What precedes this file: the launch constants and the activation (src/ops/source.rs).

override IN8: u32;        // units of eight f16 from one row of x, or of weight, to the next
override OUT4: u32;       // units of four values from one row of y to the next
override ROWS: u32;       // rows of weight
override ACTIVATION: u32; // 0 none, 1 GELU

struct Half8 {
    low: vec4<f16>,
    high: vec4<f16>,
}

@group(0) @binding(0) var<storage, read> x: array<Half8>;             // [tokens, IN8]
@group(0) @binding(1) var<storage, read> weight: array<Half8>;        // [ROWS, IN8]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;      // [OUT4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f16>>;   // [tokens, OUT4]

const GROUP: u32 = 256u;
const STRIDE: u32 = 18u;          // vec4s of a tile's row: 64 inputs, and two so that rows meet in no bank
const TILE: u32 = 128u * STRIDE;
const OUT_STRIDE: u32 = 5u;       // vec4s of a row of 16 sums, and one

// The tile of x, then that of weight. NVIDIA's driver compiles matrices loaded from vec4<f16>, not from vec4<u32>.
var<workgroup> tiles: array<vec4<f16>, 2u * TILE>;
// A matrix of sums of each subgroup, where every lane finds four values side by side.
var<workgroup> sums: array<vec4<f32>, 8u * 16u * OUT_STRIDE>;

// Rows past the end repeat the last one: what they give is not stored. Inputs past the end are zero.
fn load_x(row: u32, unit: u32) -> Half8 {
    if unit >= IN8 {
        return Half8();
    }
    return x[min(row, arrayLength(&x) / IN8 - 1u) * IN8 + unit];
}

fn load_weight(row: u32, unit: u32) -> Half8 {
    if unit >= IN8 {
        return Half8();
    }
    return weight[min(row, ROWS - 1u) * IN8 + unit];
}

fn keep(at: u32, unit: Half8) {
    tiles[at] = unit.low;
    tiles[at + 1u] = unit.high;
}

fn finished(value: vec4<f32>, column4: u32) -> vec4<f32> {
    var result = value + bias[column4];
    if ACTIVATION == 1u {
        result = vec4<f32>(activation(result.x), activation(result.y), activation(result.z), activation(result.w));
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
    let first_column = group.x * 128u;
    let first_row = (group.z * groups.y + group.y) * 128u;
    let from_row = 64u * (subgroup / 4u);
    let from_column = 32u * (subgroup % 4u);
    let tokens = arrayLength(&x) / IN8;

    var sum: array<coop_mat16x16<f32, C>, 8>;
    var next_x: array<Half8, LOADS>;
    var next_weight: array<Half8, LOADS>;
    for (var load = 0u; load < LOADS; load++) {
        let slot = thread + load * GROUP;
        next_x[load] = load_x(first_row + slot / 8u, slot % 8u);
        next_weight[load] = load_weight(first_column + slot / 8u, slot % 8u);
    }
    for (var unit = 0u; unit < IN8; unit += 8u) {
        for (var load = 0u; load < LOADS; load++) {
            let slot = thread + load * GROUP;
            let at = slot / 8u * STRIDE + 2u * (slot % 8u);
            keep(at, next_x[load]);
            keep(TILE + at, next_weight[load]);
        }
        workgroupBarrier();
        for (var load = 0u; load < LOADS; load++) {
            let slot = thread + load * GROUP;
            next_x[load] = load_x(first_row + slot / 8u, unit + 8u + slot % 8u);
            next_weight[load] = load_weight(first_column + slot / 8u, unit + 8u + slot % 8u);
        }
        for (var k = 0u; k < FOUR; k++) {
            let tile_x = from_row * STRIDE + 4u * k;
            let tile_weight = TILE + from_column * STRIDE + 4u * k;
            let b0 = coopLoad<coop_mat16x16<f16, B>>(&tiles[tile_weight], STRIDE);
            let b1 = coopLoad<coop_mat16x16<f16, B>>(&tiles[tile_weight + 16u * STRIDE], STRIDE);
            let a0 = coopLoadT<coop_mat16x16<f16, A>>(&tiles[tile_x], STRIDE);
            let a1 = coopLoadT<coop_mat16x16<f16, A>>(&tiles[tile_x + 16u * STRIDE], STRIDE);
            let a2 = coopLoadT<coop_mat16x16<f16, A>>(&tiles[tile_x + 32u * STRIDE], STRIDE);
            let a3 = coopLoadT<coop_mat16x16<f16, A>>(&tiles[tile_x + 48u * STRIDE], STRIDE);
            sum[0] = coopMultiplyAdd(a0, b0, sum[0]);
            sum[1] = coopMultiplyAdd(a0, b1, sum[1]);
            sum[2] = coopMultiplyAdd(a1, b0, sum[2]);
            sum[3] = coopMultiplyAdd(a1, b1, sum[3]);
            sum[4] = coopMultiplyAdd(a2, b0, sum[4]);
            sum[5] = coopMultiplyAdd(a2, b1, sum[5]);
            sum[6] = coopMultiplyAdd(a3, b0, sum[6]);
            sum[7] = coopMultiplyAdd(a3, b1, sum[7]);
        }
        workgroupBarrier();
    }

    let own = subgroup * 16u * OUT_STRIDE;
    for (var matrix = 0u; matrix < EIGHT; matrix++) {
        coopStoreT(sum[matrix], &sums[own], OUT_STRIDE);
        workgroupBarrier();
        for (var i = 0u; i < TWO; i++) {
            let slot = lane + 32u * i;
            let row = first_row + from_row + 16u * (matrix / 2u) + slot / 4u;
            let column4 = (first_column + from_column) / 4u + 4u * (matrix % 2u) + slot % 4u;
            if row < tokens && column4 < OUT4 {
                let value = sums[own + slot / 4u * OUT_STRIDE + slot % 4u];
                y[row * OUT4 + column4] = vec4<f16>(finished(value, column4));
            }
        }
        workgroupBarrier();
    }
}
