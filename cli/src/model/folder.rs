//! Which folder a model's name means: a path, a hub id, or a model that comes with cmm.

use std::path::{Path, PathBuf};

use super::hub::{hub_folder, is_hub_id};
use super::settings::Settings;
use super::shipped::{is_shipped, shipped_folder};
use crate::output::Failure;

/// Files by which people name the folder that holds them.
const FILES_OF_A_FOLDER: [&str; 3] =
    ["model.safetensors", "model.safetensors.index.json", "config.json"];

/// The folder of a model, which is fetched if it is neither here nor in a cache.
pub fn model_folder(model: &str) -> Result<PathBuf, Failure> {
    if is_shipped(model) {
        return shipped_folder(&Settings::from_env(), model);
    }
    if let Some(folder) = named_folder(Path::new(model)) {
        return Ok(folder);
    }
    if Path::new(model).exists() {
        let file = format!("{model} is a file that no model is known by");
        return Err(format!("{file}; name the model's folder with --model").into());
    }
    if is_hub_id(model) {
        let found = hub_folder(&Settings::from_env(), model);
        // Of models/name rather a folder is meant than somebody's model on the hub.
        let in_folder = Path::new(model).parent().is_some_and(Path::is_dir);
        return found.map_err(|error| match in_folder {
            true => format!("there is no folder {model} here, and on the hub: {error}").into(),
            false => error,
        });
    }
    let id = "a hub id has the form owner/name, as in sentence-transformers/all-MiniLM-L6-v2";
    Err(format!("{model}: there is no such folder, and {id}").into())
}

/// The folder that a path means: itself, or the one that holds the weights or the configuration that it leads to.
pub fn named_folder(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.into());
    }
    let name = path.file_name()?.to_str()?;
    if !path.is_file() || !FILES_OF_A_FOLDER.contains(&name) {
        return None;
    }
    let folder = path.parent()?;
    Some(if folder.as_os_str().is_empty() { ".".into() } else { folder.into() })
}
