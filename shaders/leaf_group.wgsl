// The second step of the leaf form for many tokens, in one workgroup. It finds where the tokens of
// each leaf begin, and the tiles of at most ROWS of them.

override LEAVES: u32;
override ROWS: u32;

@group(0) @binding(0) var<storage, read_write> routes: array<atomic<u32>>; // written by leaf_route.wgsl
@group(0) @binding(1) var<storage, read_write> tiles: array<vec4<u32>>;    // their number; then for each its leaf, its first token and the leaf's end

var<workgroup> sums: array<vec2<u32>, GROUP>;

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) thread: u32) {
    // These are the tokens and tiles of all previous leaves.
    var before = vec2<u32>();
    for (var first = 0u; first < LEAVES; first += GROUP) {
        let leaf = first + thread;
        var count = 0u;
        if leaf < LEAVES {
            count = atomicExchange(&routes[leaf], 0u);
        }
        let own = vec2<u32>(count, (count + ROWS - 1u) / ROWS);
        sums[thread] = own;
        workgroupBarrier();
        for (var step = 1u; step < GROUP; step *= 2u) {
            var sum = sums[thread];
            if thread >= step {
                sum += sums[thread - step];
            }
            workgroupBarrier();
            sums[thread] = sum;
            workgroupBarrier();
        }
        let start = before + sums[thread] - own;
        before += sums[GROUP - 1u];
        workgroupBarrier();
        if leaf < LEAVES {
            atomicStore(&routes[LEAVES + leaf], start.x);
            for (var tile = 0u; tile < own.y; tile++) {
                tiles[1u + start.y + tile] = vec4<u32>(leaf, start.x + tile * ROWS, start.x + count, 0u);
            }
        }
    }
    if thread == 0u {
        tiles[0] = vec4<u32>(before.y, 0u, 0u, 0u);
    }
}
