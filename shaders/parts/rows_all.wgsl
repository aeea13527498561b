// A dense layer on all rows of x, one tile after another.
struct Tile {
    first: u32,
    end: u32,    // end of the rows that share a matrix
    matrix: u32, // index of the matrix
}

const FIRST_ROW: u32 = 0u; // of the weight's rows

fn tile_at(index: u32, rows: u32) -> Tile {
    return Tile(index * rows, extent(), 0u);
}

fn x_row(row: u32) -> u32 {
    return row;
}

fn y_row(row: u32) -> u32 {
    return row;
}

// Returns the start of a matrix's bias, in vec4s.
fn bias_of(matrix: u32) -> u32 {
    return 0u;
}

fn of_row(row: u32, value: vec4<f32>) -> vec4<f32> {
    return value;
}
