//! The models that come with cmm: where they are looked for, and where they are fetched to if they are nowhere.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::fetch::fetch;
use super::settings::Settings;
use crate::output::Failure;

/// The model of every command where none is named.
pub const SHIPPED: &str = "fastminilm";
/// The same with a head that tells good reviews from bad ones (SST-2): the model of `cmm classify`.
pub const SHIPPED_CLASSIFIER: &str = "fastminilm-sst2";

/// SHA-256, size in bytes and path of each file of each model.
const FILES: &str = include_str!("shipped.txt");
/// Models in the source tree that this program was built from.
const SOURCE_TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models");
/// A model, and the one beside it that has the rest of its tensors.
const BASES: [(&str, &str); 1] = [(SHIPPED_CLASSIFIER, SHIPPED)];
const WEIGHTS: &str = "model.safetensors";
/// Hexadecimal digits in the name of the cache's folder.
const DIGITS: usize = 12;

/// A file of a model that comes with cmm, as this version of the program knows it.
pub struct ShippedFile {
    pub sha256: &'static str,
    pub bytes: u64,
    /// The path below the model's folder.
    pub path: &'static str,
}

impl ShippedFile {
    /// Whether the file is in this folder of its model. It gets its name there only after its checksum was found right.
    pub fn is_in(&self, folder: &Path) -> bool {
        std::fs::metadata(folder.join(self.path))
            .is_ok_and(|info| info.is_file() && info.len() == self.bytes)
    }
}

/// The files of a model; none if it does not come with cmm.
pub fn files(model: &str) -> impl Iterator<Item = ShippedFile> {
    FILES.lines().filter_map(move |line| {
        let mut parts = line.split(' ');
        let (sha256, bytes, path) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let path = path.strip_prefix(model)?.strip_prefix('/')?;
        Some(ShippedFile { sha256, bytes, path })
    })
}

/// Whether a model of this name comes with cmm.
pub fn is_shipped(model: &str) -> bool {
    files(model).next().is_some()
}

/// The folder of a model that comes with cmm; it is fetched if it is nowhere and CMM_MODEL_URL says from where.
pub fn shipped_folder(settings: &Settings, model: &str) -> Result<PathBuf, Failure> {
    Places::of_this_process(settings).find(settings, model)
}

/// Folders that may have the models, each as a folder of its name.
struct Places {
    /// `models` in the working folder, beside the program, and in the folders above it.
    near: Vec<PathBuf>,
    cache: PathBuf,
    source_tree: PathBuf,
}

impl Places {
    fn of_this_process(settings: &Settings) -> Self {
        let program = std::env::current_exe().unwrap_or_default();
        let above = program.ancestors().skip(1).map(|folder| folder.join("models"));
        // Other versions of the program may know other files of the same names.
        let version: String = hex(&Sha256::digest(FILES.as_bytes())).chars().take(DIGITS).collect();
        Self {
            near: std::iter::once(PathBuf::from("models")).chain(above).collect(),
            cache: settings.shipped.join(version),
            source_tree: SOURCE_TREE.into(),
        }
    }

    fn find(&self, settings: &Settings, model: &str) -> Result<PathBuf, Failure> {
        let has_weights = |folder: &PathBuf| folder.join(WEIGHTS).is_file();
        if let Some(folder) = self.near.iter().map(|models| models.join(model)).find(has_weights) {
            return Ok(folder);
        }
        let cached = self.cache.join(model);
        if with_base(model).all(|name| is_whole(&self.cache.join(name), name)) {
            return Ok(cached);
        }
        // An address that somebody set comes before a folder that the program only remembers.
        if let (Some(url), false) = (&settings.model_url, settings.offline) {
            for name in with_base(model) {
                fetch(url, name, &self.cache.join(name))?;
            }
            return Ok(cached);
        }
        let built_from = self.source_tree.join(model);
        if has_weights(&built_from) {
            return Ok(built_from);
        }
        let fetched = match settings.model_url {
            Some(_) => "unset HF_HUB_OFFLINE, so that it is fetched from CMM_MODEL_URL".to_owned(),
            None => format!("set CMM_MODEL_URL to the address that has {model}/{WEIGHTS}"),
        };
        Err(format!(
            "{model}, a model that comes with cmm, was not found: put its folder into models/ here or beside the program, or into {}; or {fetched}; or name another model with --model",
            self.cache.display()
        )
        .into())
    }
}

/// A model's name, and that of the one beside it that it needs.
fn with_base(model: &str) -> impl Iterator<Item = &str> {
    let bases = BASES.iter().filter(move |(of, _)| *of == model).map(|(_, base)| *base);
    std::iter::once(model).chain(bases)
}

fn is_whole(folder: &Path, model: &str) -> bool {
    files(model).all(|file| file.is_in(folder))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(dir: &Path) -> Places {
        let [near, cache, source_tree] =
            ["near/models", "cache", "source/models"].map(|name| dir.join(name));
        Places { near: vec![near], cache, source_tree }
    }

    fn found(places: &Places, variables: &[(&str, &str)]) -> Result<PathBuf, String> {
        places.find(&Settings::with(variables), SHIPPED).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_nearest_folder_is_taken_and_the_source_tree_is_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let in_order = [&places.source_tree, &places.cache, &places.near[0]];
        for models in in_order {
            for file in files(SHIPPED) {
                let path = models.join(SHIPPED).join(file.path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let of_that_size = std::fs::File::create(path).unwrap();
                of_that_size.set_len(file.bytes).unwrap();
            }
            assert_eq!(found(&places, &[]), Ok(models.join(SHIPPED)));
        }
        // A cache in which a file is missing has no model.
        std::fs::remove_dir_all(&places.near[0]).unwrap();
        std::fs::remove_file(places.cache.join(SHIPPED).join("config.json")).unwrap();
        assert_eq!(found(&places, &[]), Ok(places.source_tree.join(SHIPPED)));
    }

    #[test]
    fn a_model_that_is_nowhere_is_an_error_that_says_the_ways_to_get_it() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path());
        let cache = places.cache.display().to_string();
        let told = found(&places, &[]).unwrap_err();
        let ways = ["models/ here or beside the program", &cache, "set CMM_MODEL_URL", "--model"];
        for way in ways {
            assert!(told.contains(way), "{told}");
        }
        let offline = [("CMM_MODEL_URL", "http://127.0.0.1:9"), ("HF_HUB_OFFLINE", "1")];
        let told = found(&places, &offline).unwrap_err();
        assert!(told.contains("unset HF_HUB_OFFLINE"), "{told}");
        assert!(!places.cache.exists());
    }
}
