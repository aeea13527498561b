// The parts that all kernels of FFF layers share: sizes, weights, and how a lane finds its part of
// a row. x and y have parts of their own.

override INPUT: u32;     // width of x without padding
override IN_UNITS: u32;  // padded row of x and linear_in, in units of `Weights`
override OUT_UNITS: u32; // padded row of y and linear_out, in units of `Weights`
override RESIDUAL: u32;  // added to the layer's output: 0 nothing, 1 the values in y, 2 x (of the same width)

@group(0) @binding(2) var<storage, read> linear_in: array<Weights>;  // [input rows, IN_UNITS]
@group(0) @binding(3) var<storage, read> linear_in_bias: array<f32>; // [input rows], or laid out by src/kernels/biases.rs
@group(0) @binding(4) var<storage, read> linear_out: array<Weights>; // [output rows, OUT_UNITS]

// A lane owns the units lane, lane + LANES, ... of a row. Only a row's last LANES units need the
// test, and the compiler sees that.
fn in_row(unit: u32, i: u32, units: u32) -> bool {
    return (i + 1u) * LANES <= units || unit < units;
}

// Past the row's end a lane reads the last unit again, for an x of zero or a y that nobody keeps.
fn within_row(unit: u32, i: u32, units: u32) -> u32 {
    return select(min(unit, units - 1u), unit, (i + 1u) * LANES <= units);
}
