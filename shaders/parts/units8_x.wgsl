// A unit of eight weights goes with two vec4 of x.
fn load_x(token: u32, unit: u32, i: u32) -> Values {
    let at = vec4s_of(unit, i, IN_UNITS);
    return Values(x_vec4(token, at.x), x_vec4(token, at.y));
}
