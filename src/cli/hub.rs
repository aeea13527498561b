//! A model's directory: on this machine, or fetched from the hub into its usual cache.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo};

use crate::cli::Failure;

/// What a model needs; of the weights, one file or an index with its shards.
const NEEDED: [&str; 2] = ["config.json", "tokenizer.json"];
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// What it may have beside that.
const OPTIONAL: [&str; 5] = [
    "special_tokens_map.json",
    "tokenizer_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
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
        .find(|dir| dir.join(WEIGHTS).is_file())
        .ok_or_else(|| {
            let reason = "is neither in models/ here nor beside the program";
            format!("{model}, a model of the source tree, {reason}; name one with --model").into()
        })
}

/// The directory that `model` names: a path, a hub id `owner/name`, or one that comes with the source.
pub fn model_dir(model: &str) -> Result<PathBuf, Failure> {
    if model == SHIPPED || model == SHIPPED_CLASSIFIER {
        return shipped(model);
    }
    let path = Path::new(model);
    if path.is_dir() {
        return Ok(path.into());
    }
    let is_id = model.split('/').count() == 2
        && model.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        });
    if !is_id {
        return Err(
            format!("{model}: no such directory, and no hub id of the form owner/name").into()
        );
    }
    if let Some(dir) = cached(model) {
        return Ok(dir);
    }
    let offline = std::env::var("HF_HUB_OFFLINE")
        .is_ok_and(|v| ["1", "on", "true", "yes"].contains(&v.to_lowercase().as_str()));
    if offline {
        return Err(format!("{model}: not in the cache, and HF_HUB_OFFLINE is set").into());
    }
    fetch(model).map_err(|cause| {
        format!("{model}: {cause}; try again, or give a directory with --model").into()
    })
}

/// The cached snapshot, if it is whole.
fn cached(model: &str) -> Option<PathBuf> {
    let cache = Cache::from_env().repo(Repo::model(model.to_owned()));
    for file in NEEDED {
        cache.get(file)?;
    }
    let weights = cache.get(WEIGHTS).or_else(|| cache.get(INDEX))?;
    if weights.ends_with(INDEX) {
        for shard in shards(&weights).ok()? {
            cache.get(&shard)?;
        }
    }
    Some(weights.parent()?.into())
}

fn fetch(model: &str) -> Result<PathBuf, Failure> {
    eprintln!("fetching {model}");
    let api = ApiBuilder::from_env().with_progress(true).with_retries(2).build()?;
    let repo = api.model(model.to_owned());
    let there: Vec<String> = repo.info()?.siblings.into_iter().map(|file| file.rfilename).collect();
    let has = |file: &str| there.iter().any(|name| name == file);
    for file in NEEDED {
        if !has(file) {
            return Err(format!("the repository has no {file}").into());
        }
    }
    for file in NEEDED.iter().chain(OPTIONAL.iter().filter(|file| has(file))) {
        get(&repo, file)?;
    }
    let weights = if has(WEIGHTS) {
        get(&repo, WEIGHTS)?
    } else if has(INDEX) {
        let index = get(&repo, INDEX)?;
        for shard in shards(&index)? {
            get(&repo, &shard)?;
        }
        index
    } else {
        return Err(format!("the repository has neither {WEIGHTS} nor {INDEX}").into());
    };
    Ok(weights.parent().ok_or("no folder in the cache")?.into())
}

/// A file that is whole, or none: one whose header does not describe its length is taken out of the cache again.
fn get(repo: &ApiRepo, file: &str) -> Result<PathBuf, Failure> {
    let path = repo.get(file).map_err(|cause| format!("{file}: {cause}"))?;
    if file.ends_with(".safetensors")
        && let Err(cause) = cmm::Checkpoint::open(&path)
    {
        if let Ok(blob) = path.canonicalize() {
            std::fs::remove_file(blob)?;
        }
        let _ = std::fs::remove_file(&path);
        return Err(format!("the download is broken: {cause}").into());
    }
    Ok(path)
}

fn shards(index: &Path) -> Result<Vec<String>, Failure> {
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(index)?)?;
    let map = json.get("weight_map").and_then(|map| map.as_object()).ok_or("no weight_map")?;
    let mut shards: Vec<_> =
        map.values().filter_map(|file| file.as_str()).map(str::to_owned).collect();
    shards.sort_unstable();
    shards.dedup();
    Ok(shards)
}
