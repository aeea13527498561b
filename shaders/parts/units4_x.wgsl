// A unit of four weights goes with one vec4 of x.
fn load_x(token: u32, unit: u32, i: u32) -> Values {
    return x_vec4(token, unit);
}
