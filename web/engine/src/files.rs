//! A model's files, as JavaScript passes them.

use cmm::ModelFiles;
use wasm_bindgen::JsCast;

use crate::failure::Failure;

/// Reads the files from a `Map` of names to `Uint8Array`s.
pub fn files_of(map: &js_sys::Map) -> Result<ModelFiles, Failure> {
    let mut files = ModelFiles::new();
    for entry in map.entries() {
        let entry: js_sys::Array = entry.map_err(|_| Failure::input("no files"))?.into();
        let name = entry.get(0).as_string();
        let content = entry.get(1).dyn_into::<js_sys::Uint8Array>().ok();
        let (Some(name), Some(content)) = (name, content) else {
            return Err(Failure::input("a file must be a name and a Uint8Array"));
        };
        files.insert(name, content.to_vec());
    }
    Ok(files)
}
