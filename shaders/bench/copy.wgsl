// A copy that measures the rate of the device's memory. Each invocation copies PIECES times 16
// bytes, so that many reads are on their way.
override GROUP: u32 = 256u;

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let first = (group.y * groups.x + group.x) * GROUP * PIECES + thread;
    var pieces: array<vec4<u32>, PIECES>;
    /* unrolled */ for (var i = 0u; i < PIECES; i++) {
        pieces[i] = x[min(first + i * GROUP, arrayLength(&x) - 1u)];
    }
    /* unrolled */ for (var i = 0u; i < PIECES; i++) {
        let at = first + i * GROUP;
        if at < arrayLength(&x) {
            y[at] = pieces[i];
        }
    }
}
