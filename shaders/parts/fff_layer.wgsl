// An FFF layer's sizes and buffers, and how a lane finds its part of a row: what both CMM kernels share.

override INPUT: u32;     // width of x without padding
override IN_UNITS: u32;  // padded row of x and linear_in, in units of `Weights`
override OUT_UNITS: u32; // padded row of y and linear_out, in units of `Weights`
override TREES: u32;
override DEPTH: u32;
override NODES: u32;     // a tree's nodes: 2^(DEPTH+1) - 1
override RESIDUAL: u32;  // what is added to the layer's output: 0 nothing, 1 what y held, 2 x (of the same width)

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;        // [tokens, IN_UNITS * UNIT]
@group(0) @binding(1) var<storage, read> linear_in: array<Weights>;  // [TREES * NODES, IN_UNITS]
@group(0) @binding(2) var<storage, read> linear_in_bias: array<f32>; // [TREES * NODES]
@group(0) @binding(3) var<storage, read> linear_out: array<Weights>; // [TREES * NODES, OUT_UNITS]
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;  // [tokens, OUT_UNITS * UNIT]

// A lane owns the units lane, lane + LANES, ... of a row. All but a row's last LANES units need no test, and the compiler sees that.
fn in_row(unit: u32, i: u32, units: u32) -> bool {
    return (i + 1u) * LANES <= units || unit < units;
}

// Past the row's end a lane re-reads the last unit, against an x of zero or for a y that nobody keeps.
fn within_row(unit: u32, i: u32, units: u32) -> u32 {
    return select(min(unit, units - 1u), unit, (i + 1u) * LANES <= units);
}

// One vec4 of a row of x, zero beyond the width, whatever lies in the padding.
fn x_within_width(row: u32, index: u32) -> vec4<f32> {
    let values = x[row + index];
    if INPUT % 8u == 0u {
        return values;
    }
    return select(vec4<f32>(), values, vec4<u32>(4u * index) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(INPUT));
}

fn residual(row: u32, index: u32) -> vec4<f32> {
    if RESIDUAL == 1u {
        return y[row + index];
    }
    if RESIDUAL == 2u {
        return x_within_width(row, index);
    }
    return vec4<f32>();
}
