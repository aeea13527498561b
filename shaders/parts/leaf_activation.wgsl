// The activation of a leaf's neuron.
override ACTIVATION: u32; // 1 GELU, 3 ReLU

fn of_neuron(z: f32) -> f32 {
    if ACTIVATION == 3u {
        // max() would turn NaN into a number; and a sum that overflowed stays as it is.
        return select(z, 0.0, z < 0.0 && bitcast<u32>(z) != 0xff800000u);
    }
    return activation(z);
}
