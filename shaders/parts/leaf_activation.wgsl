// What a leaf's neuron makes of its logit.
override ACTIVATION: u32; // 1 GELU, 3 ReLU

fn of_neuron(z: f32) -> f32 {
    if ACTIVATION == 3u {
        // Not max(), which would make a number of NaN; and a sum that overflowed stays what it is.
        return select(z, 0.0, z < 0.0 && bitcast<u32>(z) != 0xff800000u);
    }
    return activation(z);
}
