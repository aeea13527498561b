// Next to nothing: what a dispatch costs by itself, in a chain where each waits for the one before.
@group(0) @binding(0) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(1)
fn main() {
    y[0] += 1u;
}
