// Writes the nodes that each token engaged.
@group(0) @binding(6) var<storage, read_write> path: array<u32>; // [tokens, TREES, DEPTH + 1], ids within the tree

fn keep_node(position: u32, node: u32) {
    path[position] = node;
}
