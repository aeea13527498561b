// Self-attention of whole sequences on cooperative matrices (tensor cores): softmax(q.k * SCALE + masked) v in f16, sums in f32, a head and
// up to QUERIES queries a workgroup, no score matrix.
//
// A subgroup computes 16 queries. Matrices cannot be scaled row by row, so that a running maximum is of no use: keys pass twice, first for the
// largest score of each query, then for the weights.
// What precedes this file: the launch constants (src/ops/source_coop.rs).

override IN8: u32;   // units of eight f16 from one row of qkv to the next: q of all heads, then k, then v
override OUT4: u32;  // units of four f16 from one row of context to the next
override HEADS: u32;

struct Half8 {
    low: vec4<f16>,
    high: vec4<f16>,
}

struct Tile {
    query: u32,    // first query's token
    queries: u32,  // up to QUERIES
    sequence: u32, // the sequence's first token
    keys: u32,     // its tokens
}

@group(0) @binding(0) var<storage, read> qkv: array<Half8>;               // [tokens, IN8]
@group(0) @binding(1) var<storage, read> masked: array<f32>;              // [tokens]: added to the scores of a key
@group(0) @binding(2) var<storage, read> tiles: array<Tile>;
@group(0) @binding(3) var<storage, read_write> context: array<vec4<f16>>; // [tokens, OUT4]

const GROUP: u32 = 2u * QUERIES;
const KEYS: u32 = 64u;
const HEAD8: u32 = 2u * HEAD16;
const STRIDE: u32 = 4u * HEAD16 + 2u; // vec4s of a tile's row, and two so that rows meet in no bank
const SCORES: u32 = 18u;              // vec4s of a row of 64 scores, and two

var<workgroup> tile_key: array<vec4<f16>, KEYS * STRIDE>; // of queries, at first
var<workgroup> tile_value: array<vec4<f16>, KEYS * STRIDE>;
var<workgroup> tile_masked: array<vec4<f32>, KEYS / 4u>;
var<workgroup> scores: array<vec4<f32>, QUERIES * SCORES>;
var<workgroup> weights: array<vec4<f16>, QUERIES * SCORES>;

fn load(token: u32, unit: u32) -> Half8 {
    return qkv[token * IN8 + unit];
}

// Past the sequence's end its last token again, with a score that leaves no weight.
fn key_token(tile: Tile, key: u32) -> u32 {
    return tile.sequence + min(key, tile.keys - 1u);
}

fn keep_key(i: u32, unit: Half8) {
    let at = i / HEAD8 * STRIDE + 2u * (i % HEAD8);
    tile_key[at] = unit.low;
    tile_key[at + 1u] = unit.high;
}

fn keep_value(i: u32, unit: Half8) {
    let at = i / HEAD8 * STRIDE + 2u * (i % HEAD8);
    tile_value[at] = unit.low;
    tile_value[at + 1u] = unit.high;
}

fn mask_of(tile: Tile, key: u32) -> f32 {
    if key >= tile.keys {
        return -3.4e38;
    }
    return masked[tile.sequence + key];
}

fn load_keys(thread: u32, tile: Tile, head: u32, first: u32) {
    for (var i = thread; i < KEYS * HEAD8; i += GROUP) {
        keep_key(i, load(key_token(tile, first + i / HEAD8), HEADS * HEAD8 + head + i % HEAD8));
    }
    if thread < KEYS / 4u {
        let key = first + 4u * thread;
        tile_masked[thread] = vec4<f32>(mask_of(tile, key), mask_of(tile, key + 1u), mask_of(tile, key + 2u), mask_of(tile, key + 3u));
    }
}

@compute @workgroup_size(GROUP)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let tile_index = group.z * groups.x + group.x;
    if tile_index >= arrayLength(&tiles) {
        return;
    }
    let tile = tiles[tile_index];
    let head = group.y * HEAD8;
    let own = subgroup * 16u * SCORES;
    // A lane looks after every other vec4 of a row of scores.
    let row = lane / 2u;
    let half = lane % 2u;

    for (var i = thread; i < QUERIES * HEAD8; i += GROUP) {
        keep_key(i, load(tile.query + min(i / HEAD8, tile.queries - 1u), head + i % HEAD8));
    }
    workgroupBarrier();
    var query: array<coop_mat16x16<f16, A>, HEAD16>;
    for (var h = 0u; h < HEAD16; h++) {
        query[h] = coopLoadT<coop_mat16x16<f16, A>>(&tile_key[16u * subgroup * STRIDE + 4u * h], STRIDE);
    }

    var largest = -3.4e38;
    var total = 0.0;
    var sum: array<coop_mat16x16<f32, C>, HEAD16>;
    for (var first = 0u; first < tile.keys; first += KEYS) {
        workgroupBarrier(); // the tile before has been read
        load_keys(thread, tile, head, first);
        workgroupBarrier();
        for (var n = 0u; n < FOUR; n++) {
            var score: coop_mat16x16<f32, C>;
            for (var h = 0u; h < HEAD16; h++) {
                let key = coopLoad<coop_mat16x16<f16, B>>(&tile_key[16u * n * STRIDE + 4u * h], STRIDE);
                score = coopMultiplyAdd(query[h], key, score);
            }
            coopStoreT(score, &scores[own + 4u * n], SCORES);
        }
        workgroupBarrier();
        for (var j = 0u; j < EIGHT; j++) {
            let at = 2u * j + half;
            let score = scores[own + row * SCORES + at] * SCALE + tile_masked[at];
            largest = max(largest, max(max(score.x, score.y), max(score.z, score.w)));
        }
    }
    largest = max(largest, subgroupShuffleXor(largest, 1u));
    for (var first = 0u; first < tile.keys; first += KEYS) {
        workgroupBarrier();
        if tile.keys > KEYS { // otherwise they are there still
            load_keys(thread, tile, head, first);
        }
        for (var i = thread; i < KEYS * HEAD8; i += GROUP) {
            keep_value(i, load(key_token(tile, first + i / HEAD8), 2u * HEADS * HEAD8 + head + i % HEAD8));
        }
        workgroupBarrier();
        for (var n = 0u; n < FOUR; n++) {
            var score: coop_mat16x16<f32, C>;
            for (var h = 0u; h < HEAD16; h++) {
                let key = coopLoad<coop_mat16x16<f16, B>>(&tile_key[16u * n * STRIDE + 4u * h], STRIDE);
                score = coopMultiplyAdd(query[h], key, score);
            }
            coopStoreT(score, &scores[own + 4u * n], SCORES);
        }
        workgroupBarrier();
        for (var j = 0u; j < EIGHT; j++) {
            let at = 2u * j + half;
            let score = max(scores[own + row * SCORES + at] * SCALE + tile_masked[at], vec4<f32>(-3.4e38));
            let weight = vec4<f16>(exp(score - largest));
            weights[own + row * SCORES + at] = weight;
            total += dot(vec4<f32>(weight), vec4<f32>(1.0));
        }
        workgroupBarrier();
        for (var n = 0u; n < FOUR; n++) {
            let weight = coopLoadT<coop_mat16x16<f16, A>>(&weights[own + 4u * n], SCORES);
            for (var h = 0u; h < HEAD16; h++) {
                let value = coopLoadT<coop_mat16x16<f16, B>>(&tile_value[16u * n * STRIDE + 4u * h], STRIDE);
                sum[h] = coopMultiplyAdd(weight, value, sum[h]);
            }
        }
    }
    workgroupBarrier();
    total += subgroupShuffleXor(total, 1u);
    for (var h = 0u; h < HEAD16; h++) {
        coopStoreT(sum[h], &scores[own + 4u * h], SCORES);
    }
    workgroupBarrier();
    let query_row = 16u * subgroup + row;
    if query_row < tile.queries {
        for (var j = 0u; j < HEAD8; j++) {
            let at = 2u * j + half;
            context[(tile.query + query_row) * OUT4 + 4u * HEAD16 * group.y + at] = vec4<f16>(scores[own + row * SCORES + at] / total);
        }
    }
}
