// Tiles of a weight whose rows are inputs: 8 * UNITS rows of COLUMNS_TILE outputs. Past the last
// input x is zero, so any row will do there.
override INPUTS: u32;

const COLUMN_UNITS: u32 = COLUMNS_TILE / 8u;
const WEIGHT_STRIDE: u32 = COLUMNS_TILE / 4u + 2u;
const WEIGHT_ROWS: u32 = 8u * UNITS;

// Returns the values of a slot in the tile that begins at this column and this unit of inputs.
fn load_weight(matrix: u32, column: u32, unit: u32, slot: u32) -> Half8 {
    let input = min(8u * unit + slot / COLUMN_UNITS, INPUTS - 1u);
    let at = min(column / 8u + slot % COLUMN_UNITS, OUT4 / 2u - 1u);
    return weight[(FIRST_ROW + matrix * INPUTS + input) * (OUT4 / 2u) + at];
}

fn weight_place(slot: u32) -> u32 {
    return TILE_X + slot / COLUMN_UNITS * WEIGHT_STRIDE + 2u * (slot % COLUMN_UNITS);
}

fn weight_matrix(column: u32, k: u32) -> coop_mat16x16<f16, B> {
    return coopLoadT<coop_mat16x16<f16, B>>(&tiles_16[TILE_X + 16u * k * WEIGHT_STRIDE + column / 4u], WEIGHT_STRIDE);
}
