//! A model's folder: on this machine, or fetched from the hub into its usual cache.

use std::path::{Path, PathBuf};

use crate::hub_cache::ModelCache;
use crate::hub_client::HubModel;
use crate::hub_settings::Settings;
use crate::output::Failure;
use cmm::model::{NEEDS_SAFETENSORS, NEEDS_TOKENIZER_JSON, is_plain_path, shards};

/// What a model needs; of the weights, one file or an index with its shards.
const NEEDED: [&str; 2] = ["config.json", "tokenizer.json"];
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// What says how a sentence becomes a vector. A cache that other programs filled may lack it although the model has it.
const MODULES: &str = "modules.json";
/// What a model may have beside that.
const OPTIONAL: [&str; 5] = [
    "special_tokens_map.json",
    "tokenizer_config.json",
    MODULES,
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// The model that comes with the source: what commands run where none is named.
pub const SHIPPED: &str = "fastminilm";
/// The same with a head that tells good reviews from bad ones (SST-2): what `cmm classify` runs.
pub const SHIPPED_CLASSIFIER: &str = "fastminilm-sst2";

/// Where it lies: in `models` of this folder, or of one above the program.
fn shipped(model: &str) -> Result<PathBuf, Failure> {
    let program = std::env::current_exe().unwrap_or_default();
    let above = program.ancestors().skip(1).map(|folder| folder.join("models").join(model));
    std::iter::once(Path::new("models").join(model))
        .chain(above)
        .find(|folder| folder.join(WEIGHTS).is_file())
        .ok_or_else(|| {
            let reason = "is neither in models/ here nor beside the program";
            format!("{model}, a model of the source tree, {reason}; name one with --model").into()
        })
}

/// The folder that `model` names: a path, a hub id `owner/name`, or one that comes with the source.
pub fn model_folder(model: &str) -> Result<PathBuf, Failure> {
    if model == SHIPPED || model == SHIPPED_CLASSIFIER {
        return shipped(model);
    }
    let path = Path::new(model);
    if path.is_dir() {
        return Ok(path.into());
    }
    if path.exists() {
        return Err(
            format!("{model} is a file; give the folder that holds it, with --model").into()
        );
    }
    let is_id = model.split('/').count() == 2
        && model.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        });
    if !is_id {
        return Err(format!("{model}: no such folder, and no hub id of the form owner/name").into());
    }
    let settings = Settings::from_env();
    let cache = Cached::find(&settings, model);
    match cache {
        Some(Cached { folder, modules_known: true }) => Ok(folder),
        Some(Cached { folder, modules_known: false }) if settings.offline => {
            say_that_pooling_is_guessed(model, &folder, "and the hub is not to be asked");
            Ok(folder)
        }
        None if settings.offline => {
            Err(format!("{model}: not in the cache, and HF_HUB_OFFLINE is set").into())
        }
        cached => match (fetch(&settings, model), cached) {
            (Ok(folder), _) => Ok(folder),
            (Err(cause), Some(Cached { folder, .. })) => {
                say_that_pooling_is_guessed(model, &folder, &format!("and {cause}"));
                Ok(folder)
            }
            (Err(cause), None) => {
                Err(format!("{model}: {cause}; try again, or give a folder with --model").into())
            }
        },
    }
}

fn say_that_pooling_is_guessed(model: &str, folder: &Path, why: &str) {
    if folder.join(MODULES).exists() {
        return;
    }
    eprintln!(
        "{model}: its cache has no {MODULES}, {why}: vectors are pooled by the mean, which is a guess"
    );
}

/// A whole snapshot in the cache.
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

/// The configurations of poolings that a modules.json names.
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
