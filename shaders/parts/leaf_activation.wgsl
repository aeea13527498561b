// What a leaf's neuron makes of its logit.
override ACTIVATION: u32; // 1 GELU, 3 ReLU

fn of_neuron(z: f32) -> f32 {
    if ACTIVATION == 3u {
        return select(z, 0.0, z < 0.0); // not max(), which would make a number of NaN
    }
    return activation(z);
}
