// A dense layer on the tokens of each leaf: its neurons. Rows of y lie leaf by leaf.

override FIRST_ROW: u32; // of the neurons among the weights

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
