// The tiles of a dense layer on the tokens of each leaf.
struct Tile {
    first: u32,
    end: u32,    // of the rows that share a matrix
    matrix: u32, // which of several: the leaf
}

@group(0) @binding(5) var<storage, read> order: array<u32>;       // [tokens], leaf by leaf
@group(0) @binding(6) var<storage, read> tiles: array<vec4<u32>>; // as leaf_group.wgsl left them

fn tile_at(index: u32, rows: u32) -> Tile {
    if index >= tiles[0].x {
        return Tile();
    }
    let tile = tiles[1u + index];
    return Tile(tile.y, tile.z, tile.x);
}
