// A unit of four weights goes with one vec4 of y.
fn store_y(token: u32, unit: u32, i: u32, values: Values) {
    store_y_vec4(token, unit, values);
}
