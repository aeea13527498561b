// The number of rows to compute: the batch's tokens, sequences, picked rows and attention tiles.
// Buffers may have room for more.
override EXTENT: u32; // which of them this kernel counts

@group(0) @binding(0) var<uniform> extents: vec4<u32>;

fn extent() -> u32 {
    return extents[EXTENT];
}
