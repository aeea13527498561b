//! A model of the hub, by its id: from the hub's usual cache, or fetched into it.

use std::path::{Path, PathBuf};

use cmm::model::{NEEDS_SAFETENSORS, NEEDS_TOKENIZER_JSON, is_plain_path, shards};

use super::hub_cache::ModelCache;
use super::hub_client::HubModel;
use super::settings::Settings;
use crate::output::Failure;

/// The files that every model needs beside its weights.
const NEEDED: [&str; 2] = ["config.json", "tokenizer.json"];
/// The weights: one file, or an index with its shards.
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// This file says how a sentence becomes a vector. A cache that other programs filled may lack it although the model has it.
const MODULES: &str = "modules.json";
/// Files that a model may have.
const OPTIONAL: [&str; 5] = [
    "special_tokens_map.json",
    "tokenizer_config.json",
    MODULES,
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// Whether a name has the form `owner/name` of a hub id.
pub fn is_hub_id(model: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    model.split('/').count() == 2 && model.split('/').all(is_part)
}

/// The folder of the model with this hub id, which is fetched if the cache does not have all of it.
pub fn hub_folder(settings: &Settings, model: &str) -> Result<PathBuf, Failure> {
    match Cached::find(settings, model) {
        Some(Cached { folder, modules_known: true }) => Ok(folder),
        Some(Cached { folder, modules_known: false }) if settings.offline => {
            say_that_pooling_is_guessed(model, &folder, "HF_HUB_OFFLINE is set");
            Ok(folder)
        }
        None if settings.offline => Err(format!(
            "{model}: it is not in the cache, and HF_HUB_OFFLINE is set; unset it to fetch the model, or name a folder with --model"
        )
        .into()),
        cached => match (fetch(settings, model), cached) {
            (Ok(folder), _) => Ok(folder),
            (Err(cause), Some(Cached { folder, .. })) => {
                say_that_pooling_is_guessed(model, &folder, &cause.to_string());
                Ok(folder)
            }
            (Err(cause), None) => {
                Err(format!("{model}: {cause}; try again, or name a folder with --model").into())
            }
        },
    }
}

fn say_that_pooling_is_guessed(model: &str, folder: &Path, why: &str) {
    if folder.join(MODULES).exists() {
        return;
    }
    eprintln!(
        "{model}: its cache has no {MODULES}, and {why}: vectors are pooled by the mean, which is a guess"
    );
}

/// A snapshot in the cache that has all files that are needed.
struct Cached {
    folder: PathBuf,
    /// Whether the snapshot has a modules.json, or is known to have none.
    modules_known: bool,
}

impl Cached {
    fn find(settings: &Settings, model: &str) -> Option<Self> {
        let cache = ModelCache::new(&settings.cache, model);
        for file in NEEDED {
            cache.get(file)?;
        }
        let weights = cache.get(WEIGHTS).or_else(|| cache.get(INDEX))?;
        if weights.ends_with(INDEX) {
            for shard in shards(&weights).ok()? {
                cache.get(&shard)?;
            }
        }
        let folder: PathBuf = weights.parent()?.into();
        let known = match cache.get(MODULES) {
            Some(modules) => {
                pooling_files(&modules).ok()?.iter().all(|file| cache.get(file).is_some())
            }
            None => cache.lacks(&folder, MODULES),
        };
        Some(Self { folder, modules_known: known })
    }
}

/// The configuration files of the poolings that a modules.json names.
fn pooling_files(modules: &Path) -> Result<Vec<String>, Failure> {
    let json: serde_json::Value =
        serde_json::from_slice(&cmm::read_file(modules, cmm::LONGEST_JSON)?)
            .map_err(|cause| format!("{}: {cause}", modules.display()))?;
    let mut files = Vec::new();
    for module in json.as_array().into_iter().flatten() {
        let text = |key: &str| module.get(key).and_then(|value| value.as_str());
        if !text("type").is_some_and(|kind| kind.ends_with(".Pooling")) {
            continue;
        }
        let path = text("path").unwrap_or("1_Pooling");
        if !is_plain_path(path) {
            let place = modules.display();
            return Err(format!("{place}: expected a path below the model, found {path:?}").into());
        }
        files.push(format!("{}/config.json", path.trim_end_matches('/')));
    }
    Ok(files)
}

fn fetch(settings: &Settings, model: &str) -> Result<PathBuf, Failure> {
    eprintln!("fetching {model}");
    let hub = HubModel::new(settings, model);
    let there = hub.files()?;
    let has = |file: &str| there.iter().any(|name| name == file);
    if !has("tokenizer.json") && has("vocab.txt") {
        return Err(NEEDS_TOKENIZER_JSON.into());
    }
    for file in NEEDED {
        if !has(file) {
            return Err(format!("the repository has no {file}").into());
        }
    }
    if !has(WEIGHTS) && !has(INDEX) {
        if has("pytorch_model.bin") || has("pytorch_model.bin.index.json") {
            return Err(NEEDS_SAFETENSORS.into());
        }
        return Err(format!("the repository has neither {WEIGHTS} nor {INDEX}").into());
    }
    for file in NEEDED.iter().chain(OPTIONAL.iter().filter(|file| has(file))) {
        let path = hub.get(file)?;
        if *file == MODULES {
            for file in pooling_files(&path)?.iter().filter(|file| has(file)) {
                hub.get(file)?;
            }
        }
    }
    let weights = if has(WEIGHTS) {
        hub.get(WEIGHTS)?
    } else {
        let index = hub.get(INDEX)?;
        for shard in shards(&index)? {
            hub.get(&shard)?;
        }
        index
    };
    let folder: PathBuf = weights.parent().ok_or("no folder in the cache")?.into();
    if !has(MODULES) {
        hub.cache.mark_missing(&folder, MODULES);
    }
    Ok(folder)
}
