// The tiles of a dense layer on the tokens of each leaf.
struct Tile {
    first: u32,
    end: u32,    // end of the rows that share a matrix
    matrix: u32, // the leaf, which has its own matrix
}

@group(0) @binding(5) var<storage, read> order: array<u32>;       // [tokens], leaf by leaf
@group(0) @binding(6) var<storage, read> tiles: array<vec4<u32>>; // written by leaf_group.wgsl

fn tile_at(index: u32, rows: u32) -> Tile {
    if index >= tiles[0].x {
        return Tile();
    }
    let tile = tiles[1u + index];
    return Tile(tile.y, tile.z, tile.x);
}
