//! `cmm search`: lines that mean what a query means, in files or in an index.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use cmm::{Prompts, cosine};
use cmm_index::Source;
use serde_json::json;

use crate::help::{INPUT, OUTPUT};
use crate::index::{model_id, open_index};
use crate::model::{ModelArguments, items_in_steps};
use crate::output::{Failure, print};
use crate::prompt::PromptArguments;
use crate::table::{row, table};
use crate::texts::{STDIN, is_terminal, sources};

/// The advice where there is nothing to search.
const NAME_FILES: &str = "name files after the query, as in cmm search QUERY FILE";

#[derive(Args)]
pub struct Arguments {
    /// The text to look for
    query: String,
    /// Files with a text on each line, and folders of such files [default: stdin]
    ///
    /// In a folder, hidden files, indexes and files that are no UTF-8 text are passed over; with --field, its .jsonl and .ndjson files alone are
    /// read. `-` is stdin.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The same as FILE
    #[arg(long = "in", value_name = "FILE", aliases = ["file", "input"], help_heading = INPUT)]
    more_files: Vec<PathBuf>,
    /// The field of JSON lines that holds the text
    ///
    /// Each line of the input is then a JSON object.
    #[arg(long, value_name = "NAME", help_heading = INPUT)]
    field: Option<String>,
    /// The folder that `cmm index` made, to search instead of files
    ///
    /// Its lines are not embedded again.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["files", "more_files", "field"], help_heading = INPUT)]
    index: Option<PathBuf>,
    #[command(flatten)]
    prompt: PromptArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// The number of results, the nearest first
    #[arg(short = 'k', visible_short_alias = 'n', long, value_name = "COUNT", default_value_t = 5, help_heading = OUTPUT)]
    top: usize,
    /// Print a JSON object on a line for each result
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// A line, and how near it is to the query.
struct Found<'t> {
    similarity: f64,
    file: &'t str,
    line: u32,
    text: &'t str,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.index {
        Some(dir) => in_index(arguments, dir).await,
        None => in_files(arguments).await,
    }
}

async fn in_files(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let paths = arguments.paths()?;
    let sources = sources(&paths, arguments.field.as_deref(), None)
        .map_err(|cause| arguments.explained(&*cause))?;
    // Results say which file they are from where there is more than one to choose from.
    let several = sources.len() > 1 || paths.iter().any(|path| path.is_dir());
    let lines: Vec<_> = sources.iter().flat_map(lines_of).collect();
    if lines.is_empty() {
        let files: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let reason = match files == [STDIN] {
            true => format!("stdin: no text in it; {NAME_FILES}"),
            false => format!("{}: no text in it, nothing to search", files.join(", ")),
        };
        return Err(arguments.explained(&*Failure::from(reason)));
    }
    let model = arguments.model.load().await?;
    let prompt = arguments.prompt.of(&model, Prompts::for_queries)?;
    let query = model.embed_with_prompt(prompt, &[&arguments.query]).await?.swap_remove(0);
    let prompt = model.prompts().for_documents();
    let vectors = items_in_steps(&lines, async |lines: &[(&str, u32, &str)]| {
        let texts: Vec<_> = lines.iter().map(|(.., text)| *text).collect();
        model.embed_with_prompt(prompt, &texts).await
    })
    .await?;
    let found = lines.iter().zip(&vectors).map(|((file, line, text), vector)| Found {
        similarity: cosine(&query, vector),
        file,
        line: *line,
        text,
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    found.truncate(arguments.top);
    show(&found, several, arguments.json)
}

async fn in_index(arguments: &Arguments, dir: &Path) -> Result<ExitCode, Failure> {
    let index = open_index(dir)?;
    let (folder, id) = model_id(arguments.model.name())?;
    index.belongs_to(&id, dir)?;
    let model = arguments.model.how.load(&folder).await?;
    let prompt = arguments.prompt.of(&model, Prompts::for_queries)?;
    let query = model.embed_with_prompt(prompt, &[&arguments.query]).await?.swap_remove(0);
    let hits = index.search(&query, arguments.top)?.into_iter();
    let found = hits.map(|hit| Found {
        similarity: hit.similarity,
        file: hit.file,
        line: hit.line,
        text: hit.text,
    });
    show(&found.collect::<Vec<_>>(), true, arguments.json)
}

/// The lines of a file that have a text.
fn lines_of(source: &Source) -> impl Iterator<Item = (&str, u32, &str)> {
    source.texts.iter().map(|(line, text)| (source.file.as_str(), *line, text.as_str()))
}

/// Prints results; of several files, each with its own.
fn show(found: &[Found], several: bool, json: bool) -> Result<ExitCode, Failure> {
    let mut out = String::new();
    let mut rows = vec![row([&"similarity", &if several { "place" } else { "line" }, &"text"])];
    for Found { similarity, file, line, text } in found {
        if json {
            let line =
                json!({ "similarity": similarity, "file": file, "line": line, "text": text });
            out += &(line.to_string() + "\n");
        } else {
            let place = if several { format!("{file}:{line}") } else { line.to_string() };
            rows.push(row([&format!("{similarity:.4}"), &place, text]));
        }
    }
    print(&if json { out } else { table(&rows) })?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// The files and folders to search; stdin where none is named.
    fn paths(&self) -> Result<Vec<PathBuf>, Failure> {
        let paths = [&self.files[..], &self.more_files].concat();
        if !paths.is_empty() {
            return Ok(paths);
        }
        if is_terminal() {
            let reason =
                format!("there is no file to search; {NAME_FILES}, or give lines on stdin");
            return Err(self.explained(&*Failure::from(reason)));
        }
        Ok(vec![STDIN.into()])
    }

    /// An error of reading; if the query is the name of a file, the arguments were probably given in another order.
    fn explained(&self, cause: &dyn std::error::Error) -> Failure {
        match Path::new(&self.query).exists() {
            true => {
                let query = &self.query;
                format!("{cause}; the query comes before the files, and here it is {query}").into()
            }
            false => cause.to_string().into(),
        }
    }
}
