// Self-attention of whole sequences on cooperative matrices (tensor cores): softmax(q.k * SCALE +
// masked) v in f16, with f32 sums. A workgroup computes one head and up to QUERIES queries. There
// is no score matrix.
//
// A subgroup computes 16 queries against one block of 64 keys after another, with a running
// maximum. Matrices cannot be scaled row by row, so the sums of a block pass through workgroup
// memory and the lanes add them up. Meanwhile the next keys are on their way in registers.
// src/kernels/attention.rs puts the launch constants before this file.

override IN4: u32;   // units of four f16 from one row of qkv to the next: q of all heads, then k, then v
override OUT4: u32;  // units of four f16 from one row of context to the next
override HEADS: u32;

struct Tile {
    query: u32,    // first query's token
    queries: u32,  // up to QUERIES
    sequence: u32, // the sequence's first token
    keys: u32,     // its tokens
}

@group(0) @binding(1) var<storage, read> qkv: array<vec4<f16>>;           // [tokens, IN4]
@group(0) @binding(2) var<storage, read> masked: array<f32>;              // [tokens]: added to the scores of a key
@group(0) @binding(3) var<storage, read> tiles: array<Tile>;
@group(0) @binding(4) var<storage, read_write> context: array<vec4<f16>>; // [tokens, OUT4]

const GROUP: u32 = 2u * QUERIES;
const KEYS: u32 = 64u; // as many as QUERIES: the same loads bring either
const HEAD8: u32 = 2u * HEAD16;
const HEAD4: u32 = 4u * HEAD16;
const STRIDE: u32 = 4u * HEAD16 + 2u; // vec4s of a tile's row, and two so that rows meet in no bank
const SCORES: u32 = 18u;              // vec4s of a row of 64 scores, and two

var<workgroup> tile_key: array<vec4<f16>, KEYS * STRIDE>; // it holds the queries first
var<workgroup> tile_value: array<vec4<f16>, KEYS * STRIDE>;
var<workgroup> tile_masked: array<vec4<f32>, KEYS / 4u>;
var<workgroup> scores: array<vec4<f32>, QUERIES * SCORES>;
var<workgroup> weights: array<vec4<f16>, QUERIES * SCORES>;

fn load(token: u32, unit: u32) -> vec4<f16> {
    return qkv[token * IN4 + unit];
}

// Returns the key's token. Past the sequence's end this is its last token again, with a score that
// leaves no weight.
fn key_token(tile: Tile, key: u32) -> u32 {
    return tile.sequence + min(key, tile.keys - 1u);
}

fn keep_key(i: u32, unit: vec4<f16>) {
    tile_key[i / HEAD4 * STRIDE + i % HEAD4] = unit;
}

fn keep_value(i: u32, unit: vec4<f16>) {
    tile_value[i / HEAD4 * STRIDE + i % HEAD4] = unit;
}

fn mask_of(tile: Tile, key: u32) -> f32 {
    if key >= tile.keys {
        return -3.4e38;
    }
    return masked[tile.sequence + key];
}

@compute @workgroup_size(GROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let tile_index = group.z * groups.y + group.y;
    if tile_index >= extent() {
        return;
    }
    let tile = tiles[tile_index];
    let head = group.x * HEAD4;
    let own = subgroup * 16u * SCORES;
    // A lane handles every other vec4 of a row of scores.
    let row = lane / 2u;
    let half = lane % 2u;

    let key_head = HEADS * HEAD4 + head;
    let value_head = HEADS * HEAD4 + key_head;
    var next_key: array<vec4<f16>, LOADS>;
    var next_value: array<vec4<f16>, LOADS>;
    /* unrolled */ for (var n = 0u; n < LOADS; n++) {
        let i = thread + n * GROUP;
        keep_key(i, load(tile.query + min(i / HEAD4, tile.queries - 1u), head + i % HEAD4));
        next_key[n] = load(key_token(tile, i / HEAD4), key_head + i % HEAD4);
        next_value[n] = load(key_token(tile, i / HEAD4), value_head + i % HEAD4);
    }
    workgroupBarrier();
    var query: array<coop_mat16x16<f16, A>, HEAD16>;
    /* unrolled */ for (var h = 0u; h < HEAD16; h++) {
        query[h] = coopLoadT<coop_mat16x16<f16, A>>(&tile_key[16u * subgroup * STRIDE + 4u * h], STRIDE);
    }

    var largest = -3.4e38;
    var total = 0.0;
    var sum: array<vec4<f32>, HEAD8>;
    for (var first = 0u; first < tile.keys; first += KEYS) {
        workgroupBarrier(); // the previous tile has been read
        /* unrolled */ for (var n = 0u; n < LOADS; n++) {
            let i = thread + n * GROUP;
            keep_key(i, next_key[n]);
            keep_value(i, next_value[n]);
        }
        if thread < KEYS / 4u {
            let key = first + 4u * thread;
            tile_masked[thread] = vec4<f32>(mask_of(tile, key), mask_of(tile, key + 1u), mask_of(tile, key + 2u), mask_of(tile, key + 3u));
        }
        workgroupBarrier();
        if first + KEYS < tile.keys {
            /* unrolled */ for (var n = 0u; n < LOADS; n++) {
                let i = thread + n * GROUP;
                next_key[n] = load(key_token(tile, first + KEYS + i / HEAD4), key_head + i % HEAD4);
                next_value[n] = load(key_token(tile, first + KEYS + i / HEAD4), value_head + i % HEAD4);
            }
        }
        /* unrolled */ for (var n = 0u; n < FOUR; n++) {
            var score: coop_mat16x16<f32, C>;
            /* unrolled */ for (var h = 0u; h < HEAD16; h++) {
                let key = coopLoad<coop_mat16x16<f16, B>>(&tile_key[16u * n * STRIDE + 4u * h], STRIDE);
                score = coopMultiplyAdd(query[h], key, score);
            }
            coopStoreT(score, &scores[own + 4u * n], SCORES);
        }
        workgroupBarrier();
        let before = largest;
        var score: array<vec4<f32>, EIGHT>;
        /* unrolled */ for (var j = 0u; j < EIGHT; j++) {
            let at = 2u * j + half;
            score[j] = scores[own + row * SCORES + at] * SCALE + tile_masked[at];
            largest = max(largest, max(max(score[j].x, score[j].y), max(score[j].z, score[j].w)));
        }
        largest = max(largest, subgroupShuffleXor(largest, 1u));
        let shrunk = exp(before - largest);
        total *= shrunk;
        /* unrolled */ for (var j = 0u; j < EIGHT; j++) {
            let weight = vec4<f16>(exp(score[j] - largest));
            weights[own + row * SCORES + 2u * j + half] = weight;
            total += dot(vec4<f32>(weight), vec4<f32>(1.0));
        }
        workgroupBarrier();
        var part: array<coop_mat16x16<f32, C>, HEAD16>;
        /* unrolled */ for (var n = 0u; n < FOUR; n++) {
            let weight = coopLoadT<coop_mat16x16<f16, A>>(&weights[own + 4u * n], SCORES);
            /* unrolled */ for (var h = 0u; h < HEAD16; h++) {
                let value = coopLoadT<coop_mat16x16<f16, B>>(&tile_value[16u * n * STRIDE + 4u * h], STRIDE);
                part[h] = coopMultiplyAdd(weight, value, part[h]);
            }
        }
        /* unrolled */ for (var h = 0u; h < HEAD16; h++) {
            coopStoreT(part[h], &scores[own + 4u * h], SCORES);
        }
        workgroupBarrier();
        /* unrolled */ for (var j = 0u; j < HEAD8; j++) {
            sum[j] = fma(vec4<f32>(shrunk), sum[j], scores[own + row * SCORES + 2u * j + half]);
        }
    }
    total += subgroupShuffleXor(total, 1u);
    let query_row = 16u * subgroup + row;
    if query_row < tile.queries {
        /* unrolled */ for (var j = 0u; j < HEAD8; j++) {
            context[(tile.query + query_row) * OUT4 + HEAD4 * group.x + 2u * j + half] = vec4<f16>(sum[j] / total);
        }
    }
}
