// Self-attention of whole sequences: softmax(q.k * SCALE + masked) v. A workgroup computes one head
// and up to GROUP queries. There is no score matrix.
//
// An invocation keeps its query and its sum in registers. Keys and values pass through workgroup
// memory, KEYS at a time, with a running maximum (Milakov and Gimelshein, Online normalizer
// calculation for softmax). src/kernels/attention.rs puts the launch constants before this file.

override IN4: u32;   // vec4s from one row of qkv to the next: q of all heads, then k, then v
override OUT4: u32;  // vec4s from one row of context to the next
override HEADS: u32;

struct Tile {
    query: u32,    // first query's token
    queries: u32,  // up to GROUP
    sequence: u32, // the sequence's first token
    keys: u32,     // its tokens
}

@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;           // [tokens, IN4]
@group(0) @binding(2) var<storage, read> masked: array<f32>;              // [tokens]: added to the scores of a key
@group(0) @binding(3) var<storage, read> tiles: array<Tile>;
@group(0) @binding(4) var<storage, read_write> context: array<vec4<f32>>; // [tokens, OUT4]

var<workgroup> tile_key: array<vec4<f32>, TILE_VALUES>;
var<workgroup> tile_value: array<vec4<f32>, TILE_VALUES>;
var<workgroup> tile_masked: array<f32, KEYS>;

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let tile_index = group.z * groups.y + group.y;
    if tile_index >= extent() {
        return;
    }
    let tile = tiles[tile_index];
    let head = group.x * HEAD4;
    let token = tile.query + min(thread, tile.queries - 1u);

    var query: array<vec4<f32>, HEAD4>;
    var sum: array<vec4<f32>, HEAD4>;
    /* unrolled */ for (var d = 0u; d < HEAD4; d++) {
        query[d] = qkv[token * IN4 + head + d] * SCALE;
    }
    var largest = -3.4e38;
    var total = 0.0;
    for (var first = 0u; first < tile.keys; first += KEYS) {
        workgroupBarrier();
        for (var i = thread; i < TILE_VALUES; i += GROUP) {
            // Past the sequence's end this loads its last token again, with a score that leaves no
            // weight.
            let at = (tile.sequence + min(first + i / HEAD4, tile.keys - 1u)) * IN4 + head + i % HEAD4;
            tile_key[i] = qkv[at + HEADS * HEAD4];
            tile_value[i] = qkv[at + 2u * HEADS * HEAD4];
        }
        if thread < KEYS {
            tile_masked[thread] = -3.4e38;
            if first + thread < tile.keys {
                tile_masked[thread] = masked[tile.sequence + first + thread];
            }
        }
        workgroupBarrier();
        var score: array<f32, KEYS>;
        var tile_largest = largest;
        /* unrolled */ for (var key = 0u; key < KEYS; key++) {
            var product = 0.0;
            /* unrolled */ for (var d = 0u; d < HEAD4; d++) {
                product += dot(query[d], tile_key[key * HEAD4 + d]);
            }
            score[key] = product + tile_masked[key];
            tile_largest = max(tile_largest, score[key]);
        }
        let kept = exp(largest - tile_largest);
        largest = tile_largest;
        total *= kept;
        /* unrolled */ for (var d = 0u; d < HEAD4; d++) {
            sum[d] *= kept;
        }
        /* unrolled */ for (var key = 0u; key < KEYS; key++) {
            let weight = exp(score[key] - largest);
            total += weight;
            /* unrolled */ for (var d = 0u; d < HEAD4; d++) {
                sum[d] = fma(vec4<f32>(weight), tile_value[key * HEAD4 + d], sum[d]);
            }
        }
    }
    if thread < tile.queries {
        /* unrolled */ for (var d = 0u; d < HEAD4; d++) {
            context[token * OUT4 + head + d] = sum[d] / total;
        }
        // The padding of a row is multiplied by zeros, so it must be a number.
        if group.x + 1u == HEADS {
            for (var unit = HEADS * HEAD4; unit < OUT4; unit++) {
                context[token * OUT4 + unit] = vec4<f32>();
            }
        }
    }
}
