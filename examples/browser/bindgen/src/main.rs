//! `cmm-bindgen IN.wasm OUT_DIR`: as `wasm-bindgen --target web`, at the version that the lock file pins.

use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [input, output] = &arguments[..] else {
        return Err("usage: cmm-bindgen IN.wasm OUT_DIR".into());
    };
    Bindgen::new()
        .input_path(input)
        .web(true)?
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(false)
        .generate(output)?;
    Ok(())
}
