// Four outputs of four inputs of a weight whose rows are outputs.
fn load_weight(matrix: u32, output: u32, k4: u32) -> Block {
    if k4 >= IN4 {
        return Block();
    }
    let last = ROWS - 1u;
    let first = FIRST_ROW + matrix * ROWS;
    return transposed(Block(
        widen4(weight[(first + min(output, last)) * IN4 + k4]),
        widen4(weight[(first + min(output + 1u, last)) * IN4 + k4]),
        widen4(weight[(first + min(output + 2u, last)) * IN4 + k4]),
        widen4(weight[(first + min(output + 3u, last)) * IN4 + k4]),
    ));
}
