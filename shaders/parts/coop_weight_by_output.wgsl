// Tiles of a weight whose rows are outputs: [COLUMNS_TILE] rows of 8 * UNITS inputs.
const WEIGHT_STRIDE: u32 = STRIDE;
const WEIGHT_ROWS: u32 = COLUMNS_TILE;

// Returns the values of a slot in the tile that begins at this column and this unit of inputs.
// Inputs past the end are zero.
fn load_weight(matrix: u32, column: u32, unit: u32, slot: u32) -> Half8 {
    let at = unit + slot % UNITS;
    if at >= IN8 {
        return Half8();
    }
    return weight[(FIRST_ROW + matrix * ROWS + min(column + slot / UNITS, ROWS - 1u)) * IN8 + at];
}

fn weight_place(slot: u32) -> u32 {
    return TILE_X + slot / UNITS * WEIGHT_STRIDE + 2u * (slot % UNITS);
}

fn weight_matrix(column: u32, k: u32) -> coop_mat16x16<f16, B> {
    return coopLoad<coop_mat16x16<f16, B>>(&tiles_16[TILE_X + column * WEIGHT_STRIDE + 4u * k], WEIGHT_STRIDE);
}
