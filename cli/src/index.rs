//! `cmm index`: the vectors of files' lines, in a folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use cmm_index::{Build, ModelId, Precision, Source, fingerprint};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::hub::model_folder;
use crate::model::ModelArguments;
use crate::output::{Failure, print};
use crate::text_in::TextFile;

/// Files of a folder that hold JSON lines.
const JSON_LINES: [&str; 2] = ["jsonl", "ndjson"];

#[derive(Args)]
pub struct Arguments {
    /// Files with one text per line, and folders of such files: hidden ones and files that are no UTF-8 are passed over there
    #[arg(value_name = "FILE or DIR", required = true)]
    paths: Vec<PathBuf>,
    /// The index: an empty folder, one that is not there yet, or the index before, whose texts are not embedded again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Lines are JSON objects; the text is in this field (of folders: of their .jsonl and .ndjson files)
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
    /// How vectors are kept: f32, f16 or int8
    #[arg(long, value_name = "PRECISION", default_value = "f32")]
    vectors: Precision,
    #[command(flatten)]
    model: ModelArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A model's folder, and what an index knows it by.
pub fn model_id(name: &str) -> Result<(PathBuf, ModelId), Failure> {
    let folder = model_folder(name)?;
    let id = ModelId { name: name.to_owned(), fingerprint: fingerprint(&folder)? };
    Ok((folder, id))
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let sources = sources(arguments)?;
    let (folder, id) = model_id(arguments.model.name())?;
    let model = arguments.model.how.load(&folder).await?;
    let prompt = model.prompts().for_documents().to_owned();
    let width = model.encoder().config().hidden;
    let build = Build { model: id, prompt: prompt.clone(), width, precision: arguments.vectors };
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} texts, {eta} left")?);
    let embed = |texts: &[&str]| Ok(pollster::block_on(model.embed_with_prompt(&prompt, texts))?);
    let progress = |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let built = build.make(&arguments.out, &sources, embed, progress)?;
    bar.finish_and_clear();
    let (out, files) = (arguments.out.display(), sources.len());
    print(&if arguments.json {
        let line = json!({
            "out": out.to_string(), "files": files, "places": built.places, "texts": built.texts, "embedded": built.embedded,
        });
        line.to_string() + "\n"
    } else {
        format!(
            "{} lines of {files} files, {} different texts, {} of them embedded now -> {out}\n",
            built.places, built.texts, built.embedded
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn sources(arguments: &Arguments) -> Result<Vec<Source>, Failure> {
    let field = arguments.field.as_deref();
    let mut sources = Vec::new();
    for path in &arguments.paths {
        if !path.is_dir() {
            sources.push(source(path, field)?);
            continue;
        }
        let mut files = Vec::new();
        walk(path, &arguments.out, field.is_some(), &mut files)?;
        files.sort();
        for file in files {
            match source(&file, field) {
                Ok(source) => sources.push(source),
                Err(cause) => eprintln!("passed over: {cause}"),
            }
        }
    }
    if sources.iter().all(|source| source.texts.is_empty()) {
        return Err("no line with a text in these files: nothing to index".into());
    }
    Ok(sources)
}

fn source(path: &Path, field: Option<&str>) -> Result<Source, Failure> {
    let texts = TextFile::of(path.to_owned(), field).numbered()?;
    Ok(Source { file: path.display().to_string(), texts })
}

/// Files below a folder, in no order; links to folders are not followed, and the index itself is not among them.
fn walk(
    folder: &Path,
    out: &Path,
    json_lines: bool,
    files: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    let named = |cause: std::io::Error| format!("{}: {cause}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(named)? {
        let entry = entry.map_err(named)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(named)?);
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let is_out = || {
            path.canonicalize()
                .ok()
                .is_some_and(|path| out.canonicalize().is_ok_and(|out| out == path))
        };
        if kind.is_dir() {
            if !is_out() {
                walk(&path, out, json_lines, files)?;
            }
        } else if path.is_file() {
            let extension = path.extension().and_then(|extension| extension.to_str());
            if !json_lines || extension.is_some_and(|extension| JSON_LINES.contains(&extension)) {
                files.push(path);
            }
        }
    }
    Ok(())
}
