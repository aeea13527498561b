// Dense matrix multiplication (DMM) on cooperative matrices (tensor cores): f16 in, f32 sums, y = activation(x * weight^T + bias).
//
// A workgroup of four subgroups computes 128 tokens x 128 outputs, each subgroup 64 x 64 in sixteen 16 x 16 matrices of registers. Tiles of
// 32 inputs pass through workgroup memory, two in turn: while one is multiplied the next is on its way in registers.
// What precedes this file: the output format, the launch constants and the activation (src/ops/source.rs).

override IN8: u32;        // 16-byte units, of eight f16, from one row of x, or of weight, to the next
override OUT4: u32;       // units of four values from one row of y to the next
override ROWS: u32;       // rows of weight
override ACTIVATION: u32; // 0 none, 1 GELU

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;       // f16 [tokens, IN8 * 8]
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>;  // f16 [ROWS, IN8 * 8]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;    // [OUT4]
@group(0) @binding(3) var<storage, read_write> y: array<Out4>;      // [tokens, OUT4]

const STRIDE: u32 = 5u;              // 16-byte units of a tile's row: 32 inputs, and one unit so that rows meet in no bank
const TILE: u32 = 128u * STRIDE;
const OUT_STRIDE: u32 = 17u;         // of a row of 64 sums, with one unit of padding

// Two tiles of x and two of weight, bits of f16; in the end, 16 rows of each subgroup's sums, f32: naga wants the type of what is stored.
var<workgroup> tiles: array<vec4<f32>, 4u * TILE>;

fn load_x(row: u32, unit: u32) -> vec4<f32> {
    if unit >= IN8 {
        return vec4<f32>();
    }
    return bitcast<vec4<f32>>(x[min(row, arrayLength(&x) / IN8 - 1u) * IN8 + unit]);
}

fn load_weight(row: u32, unit: u32) -> vec4<f32> {
    if unit >= IN8 {
        return vec4<f32>();
    }
    return bitcast<vec4<f32>>(weight[min(row, ROWS - 1u) * IN8 + unit]);
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

@compute @workgroup_size(128)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let first_column = group.x * 128u;
    let first_row = (group.z * groups.y + group.y) * 128u;
    let from_row = 64u * (subgroup / 2u);
    let from_column = 64u * (subgroup % 2u);
    let tokens = arrayLength(&x) / IN8;

    var sum: array<coop_mat16x16<f32, C>, 16>;
    var next_x: array<vec4<f32>, LOADS>;
    var next_weight: array<vec4<f32>, LOADS>;
    for (var load = 0u; load < LOADS; load++) {
        let slot = thread + load * 128u;
        next_x[load] = load_x(first_row + slot / 4u, slot % 4u);
        next_weight[load] = load_weight(first_column + slot / 4u, slot % 4u);
    }
    for (var load = 0u; load < LOADS; load++) {
        let slot = thread + load * 128u;
        tiles[slot / 4u * STRIDE + slot % 4u] = next_x[load];
        tiles[2u * TILE + slot / 4u * STRIDE + slot % 4u] = next_weight[load];
    }
    workgroupBarrier();
    var current = 0u;
    for (var unit = 0u; unit < IN8; unit += 4u) {
        for (var load = 0u; load < LOADS; load++) {
            let slot = thread + load * 128u;
            next_x[load] = load_x(first_row + slot / 4u, unit + 4u + slot % 4u);
            next_weight[load] = load_weight(first_column + slot / 4u, unit + 4u + slot % 4u);
        }
        let tile_x = current + from_row * STRIDE;
        let tile_weight = 2u * TILE + current + from_column * STRIDE;
        for (var half = 0u; half < HALVES; half++) {
            let b0 = coopLoad<coop_mat16x16<f16, B>>(&tiles[tile_weight + 2u * half], STRIDE);
            let b1 = coopLoad<coop_mat16x16<f16, B>>(&tiles[tile_weight + 2u * half + 16u * STRIDE], STRIDE);
            let b2 = coopLoad<coop_mat16x16<f16, B>>(&tiles[tile_weight + 2u * half + 32u * STRIDE], STRIDE);
            let b3 = coopLoad<coop_mat16x16<f16, B>>(&tiles[tile_weight + 2u * half + 48u * STRIDE], STRIDE);
            for (var down = 0u; down < FOUR; down++) {
                let a = coopLoadT<coop_mat16x16<f16, A>>(&tiles[tile_x + 2u * half + down * 16u * STRIDE], STRIDE);
                sum[4u * down] = coopMultiplyAdd(a, b0, sum[4u * down]);
                sum[4u * down + 1u] = coopMultiplyAdd(a, b1, sum[4u * down + 1u]);
                sum[4u * down + 2u] = coopMultiplyAdd(a, b2, sum[4u * down + 2u]);
                sum[4u * down + 3u] = coopMultiplyAdd(a, b3, sum[4u * down + 3u]);
            }
        }
        current = TILE - current;
        for (var load = 0u; load < LOADS; load++) {
            let slot = thread + load * 128u;
            tiles[current + slot / 4u * STRIDE + slot % 4u] = next_x[load];
            tiles[2u * TILE + current + slot / 4u * STRIDE + slot % 4u] = next_weight[load];
        }
        workgroupBarrier();
    }

    // 16 rows at a time through workgroup memory, where every lane finds four values side by side.
    let own = subgroup * 16u * OUT_STRIDE;
    for (var down = 0u; down < FOUR; down++) {
        coopStoreT(sum[4u * down], &tiles[own], OUT_STRIDE);
        coopStoreT(sum[4u * down + 1u], &tiles[own + 4u], OUT_STRIDE);
        coopStoreT(sum[4u * down + 2u], &tiles[own + 8u], OUT_STRIDE);
        coopStoreT(sum[4u * down + 3u], &tiles[own + 12u], OUT_STRIDE);
        workgroupBarrier();
        for (var i = 0u; i < EIGHT; i++) {
            let slot = lane + 32u * i;
            let row = first_row + from_row + 16u * down + slot / 16u;
            let column4 = (first_column + from_column) / 4u + slot % 16u;
            if row < tokens && column4 < OUT4 {
                let value = tiles[own + slot / 16u * OUT_STRIDE + slot % 16u];
                y[row * OUT4 + column4] = narrowed(finished(value, column4));
            }
        }
        workgroupBarrier();
    }
}
