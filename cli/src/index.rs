//! `cmm index`: the vectors of the lines of files, kept in a folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use cmm_index::{Build, Index, ModelId, Precision, fingerprint};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::help::{INPUT, OUTPUT};
use crate::model::{ModelArguments, model_folder};
use crate::output::{Failure, print};
use crate::texts::sources;

#[derive(Args)]
pub struct Arguments {
    /// Files with a text on each line, and folders of such files
    ///
    /// In a folder, hidden files, indexes and files that are no UTF-8 text are passed over; with --field, its .jsonl and .ndjson files alone are
    /// read.
    #[arg(value_name = "FILE", required = true)]
    paths: Vec<PathBuf>,
    /// The field of JSON lines that holds the text
    ///
    /// Each line of the input is then a JSON object.
    #[arg(long, value_name = "NAME", help_heading = INPUT)]
    field: Option<String>,
    #[command(flatten)]
    model: ModelArguments,
    /// The folder to write the index to
    ///
    /// It is a new or an empty folder, or the index that is to be brought up to date: texts that it has are not embedded again.
    #[arg(short, long, value_name = "DIR", alias = "out", help_heading = OUTPUT)]
    output: PathBuf,
    /// The precision of the vectors in the index: f32, f16 or int8
    #[arg(long, value_name = "PRECISION", default_value = "f32", help_heading = OUTPUT)]
    vectors: Precision,
    /// Print a summary as JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// A model's folder, and the name and hash by which an index knows it.
pub fn model_id(name: &str) -> Result<(PathBuf, ModelId), Failure> {
    let folder = model_folder(name)?;
    let id = ModelId { name: name.to_owned(), fingerprint: fingerprint(&folder)? };
    Ok((folder, id))
}

/// Opens an index. If there is no such folder, the error says how one is made.
pub fn open_index(dir: &Path) -> Result<Index, Failure> {
    if !dir.exists() {
        let dir = dir.display();
        return Err(format!(
            "{dir}: there is no such index; make one with `cmm index FILE... --output {dir}`"
        )
        .into());
    }
    Ok(Index::open(dir)?)
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let sources = sources(&arguments.paths, arguments.field.as_deref(), Some(&arguments.output))?;
    if sources.iter().all(|source| source.texts.is_empty()) {
        return Err("no line with a text in these files: nothing to index".into());
    }
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
    let built = build.make(&arguments.output, &sources, embed, progress)?;
    bar.finish_and_clear();
    let (out, files) = (arguments.output.display(), sources.len());
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
