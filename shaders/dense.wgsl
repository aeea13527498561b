// Dense matrix multiplication (DMM) with its epilogue: y = activation(x * weight^T + bias), or y +=
// x * weight^T + bias.
//
// A workgroup computes a tile of TILE tokens x TILE outputs; each thread keeps 8 x 8 of them in
// registers. Tiles of x and weight pass through workgroup memory, 16 inputs at a time, transposed
// to [input][row]. The next tiles are on their way while these are multiplied. src/kernels/dense.rs
// puts before this file a weight4 format, the launch constants, the activation, and parts that say
// where x, weights and y are. src/kernels/leaf.rs does the same for the leaves of FFF layers.

override IN4: u32;        // vec4s from one row of x, or of weight, to the next; an even number
override OUT4: u32;       // vec4s from one row of y to the next
override ROWS: u32;       // rows of weight
override ACTIVATION: u32; // 0 none, 1 GELU, 2 tanh, 3 ReLU
override RESIDUAL: u32;   // 1: add to the values in y

@group(0) @binding(2) var<storage, read> weight: array<Weight4>; // [ROWS, IN4] for each matrix, or by input
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>; // [OUT4] for each matrix

const TILE: u32 = 8u * SIDE;
const TILE4: u32 = 2u * SIDE;

var<workgroup> tile_x: array<vec4<f32>, 16u * TILE4>;
var<workgroup> tile_weight: array<vec4<f32>, 16u * TILE4>;

// Four inputs of four rows, which one thread carries from memory to a tile.
struct Block {
    input0: vec4<f32>,
    input1: vec4<f32>,
    input2: vec4<f32>,
    input3: vec4<f32>,
}

fn transposed(b: Block) -> Block {
    return Block(
        vec4<f32>(b.input0.x, b.input1.x, b.input2.x, b.input3.x),
        vec4<f32>(b.input0.y, b.input1.y, b.input2.y, b.input3.y),
        vec4<f32>(b.input0.z, b.input1.z, b.input2.z, b.input3.z),
        vec4<f32>(b.input0.w, b.input1.w, b.input2.w, b.input3.w),
    );
}

// Rows past the end repeat the last one, and their results are not stored. Inputs past the end are
// zero.
fn load_x(end: u32, row: u32, k4: u32) -> Block {
    if k4 >= IN4 {
        return Block();
    }
    let last = max(end, 1u) - 1u;
    return transposed(Block(
        x4(x_row(min(row, last)), k4),
        x4(x_row(min(row + 1u, last)), k4),
        x4(x_row(min(row + 2u, last)), k4),
        x4(x_row(min(row + 3u, last)), k4),
    ));
}

// Slots 0..TILE of a tile hold rows 4 * (slot / 4) and inputs 4 * (slot % 4). The rows of an input
// are permuted by the input, so that the threads of a store meet in no bank.
fn place(slot: u32, input: u32) -> u32 {
    let part = slot % 4u;
    return (4u * part + input) * TILE4 + ((slot / 4u) ^ (2u * part));
}

fn finished(value: vec4<f32>, matrix: u32, column4: u32) -> vec4<f32> {
    var result = value + bias[bias_of(matrix) + column4];
    if ACTIVATION == 1u {
        result = vec4<f32>(activation(result.x), activation(result.y), activation(result.z), activation(result.w));
    }
    if ACTIVATION == 2u {
        // tanh() overflows on some devices beyond 44, and a clamp would turn NaN into a number.
        let t = exp(-2.0 * abs(result));
        let size = (1.0 - t) / (1.0 + t);
        result = select(-size, size, result >= vec4<f32>());
    }
    if ACTIVATION == 3u {
        // A sum that overflowed stays as it is.
        result = select(result, vec4<f32>(), (result < vec4<f32>()) & (bitcast<vec4<u32>>(result) != vec4<u32>(0xff800000u)));
    }
    if ROWS == 4u * OUT4 {
        return result;
    }
    // The padding of y stays zero. (If a token's decision overflowed, all of its y is NaN,
    // including the padding.)
    return select(vec4<f32>(), result, vec4<u32>(4u * column4) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(ROWS));
}

fn store(tile: Tile, row: u32, column4: u32, value: vec4<f32>) {
    if row < tile.end && column4 < OUT4 {
        put(y_row(row) * OUT4 + column4, of_row(row, finished(value, tile.matrix, column4)));
    }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let first_column = group.x * TILE;
    let tile = tile_at(group.z * groups.y + group.y, TILE);
    if tile.first >= tile.end {
        return;
    }
    let first_row = tile.first;
    let across = thread % SIDE;
    let down = thread / SIDE;

    var sum: array<vec4<f32>, 16>; // 8 rows x 2 vec4 columns
    var next: array<Block, LOADS>;
    /* unrolled */ for (var load = 0u; load < LOADS; load++) {
        let slot = thread + load * GROUP;
        if slot < TILE {
            next[load] = load_x(tile.end, first_row + 4u * (slot / 4u), slot % 4u);
        } else {
            next[load] = load_weight(tile.matrix, first_column + 4u * ((slot - TILE) / 4u), slot % 4u);
        }
    }
    for (var k4 = 0u; k4 < IN4; k4 += 4u) {
        /* unrolled */ for (var load = 0u; load < LOADS; load++) {
            let slot = thread + load * GROUP;
            let b = next[load];
            if slot < TILE {
                tile_x[place(slot, 0u)] = b.input0;
                tile_x[place(slot, 1u)] = b.input1;
                tile_x[place(slot, 2u)] = b.input2;
                tile_x[place(slot, 3u)] = b.input3;
            } else {
                tile_weight[place(slot - TILE, 0u)] = b.input0;
                tile_weight[place(slot - TILE, 1u)] = b.input1;
                tile_weight[place(slot - TILE, 2u)] = b.input2;
                tile_weight[place(slot - TILE, 3u)] = b.input3;
            }
        }
        workgroupBarrier();
        if k4 + 4u < IN4 {
            /* unrolled */ for (var load = 0u; load < LOADS; load++) {
                let slot = thread + load * GROUP;
                if slot < TILE {
                    next[load] = load_x(tile.end, first_row + 4u * (slot / 4u), k4 + 4u + slot % 4u);
                } else {
                    next[load] = load_weight(tile.matrix, first_column + 4u * ((slot - TILE) / 4u), k4 + 4u + slot % 4u);
                }
            }
        }
        /* unrolled */ for (var k = 0u; k < BLOCK; k++) {
            let permuted = 2u * (k / 4u);
            let x0 = tile_x[k * TILE4 + (down ^ permuted)];
            let x1 = tile_x[k * TILE4 + ((down + SIDE) ^ permuted)];
            let w0 = tile_weight[k * TILE4 + (across ^ permuted)];
            let w1 = tile_weight[k * TILE4 + ((across + SIDE) ^ permuted)];
            sum[0] = fma(vec4<f32>(x0.x), w0, sum[0]);
            sum[1] = fma(vec4<f32>(x0.x), w1, sum[1]);
            sum[2] = fma(vec4<f32>(x0.y), w0, sum[2]);
            sum[3] = fma(vec4<f32>(x0.y), w1, sum[3]);
            sum[4] = fma(vec4<f32>(x0.z), w0, sum[4]);
            sum[5] = fma(vec4<f32>(x0.z), w1, sum[5]);
            sum[6] = fma(vec4<f32>(x0.w), w0, sum[6]);
            sum[7] = fma(vec4<f32>(x0.w), w1, sum[7]);
            sum[8] = fma(vec4<f32>(x1.x), w0, sum[8]);
            sum[9] = fma(vec4<f32>(x1.x), w1, sum[9]);
            sum[10] = fma(vec4<f32>(x1.y), w0, sum[10]);
            sum[11] = fma(vec4<f32>(x1.y), w1, sum[11]);
            sum[12] = fma(vec4<f32>(x1.z), w0, sum[12]);
            sum[13] = fma(vec4<f32>(x1.z), w1, sum[13]);
            sum[14] = fma(vec4<f32>(x1.w), w0, sum[14]);
            sum[15] = fma(vec4<f32>(x1.w), w1, sum[15]);
        }
        workgroupBarrier();
    }

    let column4 = first_column / 4u + across;
    /* unrolled */ for (var i = 0u; i < EIGHT; i++) {
        let row = first_row + 4u * down + i % 4u + (i / 4u) * 4u * SIDE;
        store(tile, row, column4, sum[2u * i]);
        store(tile, row, column4 + SIDE, sum[2u * i + 1u]);
    }
}
