// A dense layer on the tokens of each leaf, from x to the leaf's neurons. The rows of y lie leaf by
// leaf.

override FIRST_ROW: u32; // of the neurons among the rows of the weights

fn x_row(row: u32) -> u32 {
    return order[row] & 0x7fffffffu;
}

fn y_row(row: u32) -> u32 {
    return row;
}

fn bias_of(leaf: u32) -> u32 {
    return leaf * OUT4;
}

fn of_row(row: u32, value: vec4<f32>) -> vec4<f32> {
    return value;
}
