// Four weights of a row, f16.
enable f16;

alias Weight4 = vec4<f16>;

fn widen4(weight: Weight4) -> vec4<f32> {
    return vec4<f32>(weight);
}
