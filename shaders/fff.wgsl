// Conditional matrix multiplication: one FFF layer in one dispatch.
//
// LANES invocations share one token. They keep its x and its y in registers, walk every tree from root to leaf, and add
// activation(z) * linear_out[node] for each node on the way; nothing but the chosen rows is read.
// What precedes this file: a weight format, the launch constants, a reduction, the activation and a path part (src/fff/kernel.rs).

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

@compute @workgroup_size(GROUP)
fn main(lane: Lane, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let token = (group.y * groups.x + group.x) * TOKENS + token_slot(lane);
    if token >= arrayLength(&x) / (IN_UNITS * UNIT) {
        return;
    }
    let first = lane_index(lane);

    var x_lane: array<Values, IN_PER_LANE>;
    for (var i = 0u; i < IN_PER_LANE; i++) {
        let unit = first + i * LANES;
        if in_row(unit, i, IN_UNITS) {
            x_lane[i] = load_x(token * IN_UNITS * UNIT, unit, i);
        }
    }
    var y_lane: array<Values, OUT_PER_LANE>;

    for (var tree = 0u; tree < TREES; tree++) {
        var node = 0u;
        for (var level = 0u; level <= DEPTH; level++) {
            let row = tree * NODES + node;
            var partial = 0.0;
            if first == 0u {
                keep_node((token * TREES + tree) * (DEPTH + 1u) + level, node);
                partial = linear_in_bias[row]; // one lane asks for it, the sum carries it to all
            }
            for (var i = 0u; i < IN_PER_LANE; i++) {
                let unit = within_row(first + i * LANES, i, IN_UNITS);
                partial += dot_values(linear_in[row * IN_UNITS + unit], x_lane[i]);
            }
            // Asked for before the sum is known, so that the two rows' latencies overlap.
            var out_lane: array<Weights, OUT_PER_LANE>;
            for (var i = 0u; i < OUT_PER_LANE; i++) {
                let unit = within_row(first + i * LANES, i, OUT_UNITS);
                out_lane[i] = linear_out[row * OUT_UNITS + unit];
            }
            let z = lane_sum(partial, lane);
            let engaged = activation(z);
            for (var i = 0u; i < OUT_PER_LANE; i++) {
                y_lane[i] = scale_add(engaged, out_lane[i], y_lane[i]);
            }
            node = 2u * node + select(1u, 2u, z > 0.0);
        }
    }

    for (var i = 0u; i < OUT_PER_LANE; i++) {
        let unit = first + i * LANES;
        if in_row(unit, i, OUT_UNITS) {
            store_y(token * OUT_UNITS * UNIT, unit, i, y_lane[i]);
        }
    }
}
