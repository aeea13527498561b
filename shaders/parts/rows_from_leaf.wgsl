// A dense layer on the tokens of each leaf, from the leaf's neurons to y. The rows of neurons lie
// leaf by leaf.

override OUTPUT_BIAS4: u32; // start of the leaves' output biases, in vec4s

const FIRST_ROW: u32 = 0u;

fn x_row(row: u32) -> u32 {
    return row;
}

fn y_row(row: u32) -> u32 {
    return order[row] & 0x7fffffffu;
}

fn bias_of(leaf: u32) -> u32 {
    return OUTPUT_BIAS4 + leaf * OUT4;
}

// Returns NaN if a decision overflowed.
fn of_row(row: u32, value: vec4<f32>) -> vec4<f32> {
    return value + bitcast<f32>(select(0u, 0x7fc00000u, order[row] >= 0x80000000u));
}
