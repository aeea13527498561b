// A unit of eight weights goes with two vec4 of y.
fn store_y(token: u32, unit: u32, i: u32, values: Values) {
    let at = vec4s_of(unit, i, OUT_UNITS);
    store_y_vec4(token, at.x, values[0]);
    store_y_vec4(token, at.y, values[1]);
}
