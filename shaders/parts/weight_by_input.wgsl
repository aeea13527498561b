// Four outputs of four inputs of a weight whose rows are inputs. Past the last input x is zero, so
// any row will do there.
override INPUTS: u32;

fn load_weight(matrix: u32, output: u32, k4: u32) -> Block {
    let column = min(output / 4u, OUT4 - 1u);
    let last = INPUTS - 1u;
    let first = FIRST_ROW + matrix * INPUTS;
    return Block(
        widen4(weight[(first + min(4u * k4, last)) * OUT4 + column]),
        widen4(weight[(first + min(4u * k4 + 1u, last)) * OUT4 + column]),
        widen4(weight[(first + min(4u * k4 + 2u, last)) * OUT4 + column]),
        widen4(weight[(first + min(4u * k4 + 3u, last)) * OUT4 + column]),
    );
}
