// A kernel that does next to nothing. In a chain in which each dispatch waits for the one before,
// it measures the cost of a dispatch.
@group(0) @binding(0) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(1)
fn main() {
    y[0] += 1u;
}
