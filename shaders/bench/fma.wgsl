// Multiply-adds from registers, which measure the rate of the device's arithmetic. `Scalar` is
// defined before this file (as f32 or f16).
override GROUP: u32 = 256u;

@group(0) @binding(0) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>) {
    var sum: array<vec4<Scalar>, 8>;
    let factor = vec4<Scalar>(Scalar(f32(thread) * 1e-3));
    let term = vec4<Scalar>(Scalar(f32(group.x) * 1e-6));
    for (var round = 0u; round < 64u; round++) {
        /* unrolled */ for (var repeat = 0u; repeat < REPEATS; repeat++) {
            /* unrolled */ for (var i = 0u; i < CHAINS; i++) {
                sum[i] = fma(sum[i], factor, term);
            }
        }
    }
    var total = vec4<Scalar>();
    /* unrolled */ for (var i = 0u; i < CHAINS; i++) {
        total += sum[i];
    }
    // This is never true, but only the device finds that out.
    if f32(total.x + total.y + total.z + total.w) == 12345.678 {
        y[0] = 1u;
    }
}
