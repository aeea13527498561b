// Trees whose nodes are neurons.

override TREES: u32;
override DEPTH: u32;
override NODES: u32; // a tree's nodes: 2^(DEPTH+1) - 1

// Returns the factor of an engaged node's output row. In the signed form (SIDES = 2) a node has a
// row for each sign of its logit.
fn engaged_by(z: f32) -> f32 {
    if SIDES == 2u {
        return activation(abs(z));
    }
    return activation(z);
}

// Returns the output row of a node, among the rows of all trees.
fn output_row(row: u32, z: f32) -> u32 {
    if SIDES == 2u {
        return 2u * row + select(0u, 1u, z > 0.0);
    }
    return row;
}
