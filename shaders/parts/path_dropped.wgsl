// Nobody asked for the path: nothing is written, nothing is bound.
fn keep_node(position: u32, node: u32) {}
