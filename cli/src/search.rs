//! `cmm search`: lines that mean what a query means, of a file or of an index.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use cmm::{Prompts, cosine};
use cmm_index::Index;
use serde_json::json;

use crate::index::model_id;
use crate::model::{ModelArguments, in_steps};
use crate::output::{Failure, print};
use crate::prompt::PromptArguments;
use crate::table::{row, table};
use crate::text_in::TextFile;

#[derive(Args)]
pub struct Arguments {
    /// What to look for
    query: String,
    #[command(flatten)]
    lines: TextFile,
    /// A folder that `cmm index` made of the lines: they are not embedded again
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "field"])]
    index: Option<PathBuf>,
    #[command(flatten)]
    prompt: PromptArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// Results
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// A line of JSON for each result
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.index {
        Some(dir) => in_index(arguments, dir).await,
        None => in_lines(arguments).await,
    }
}

async fn in_lines(arguments: &Arguments) -> Result<ExitCode, Failure> {
    // Blank lines have nothing to find; the numbers of the others stay.
    let numbered = arguments.lines.numbered()?;
    if numbered.is_empty() {
        return Err("only empty lines: nothing to search in".into());
    }
    let lines: Vec<String> = numbered.iter().map(|(_, line)| line.clone()).collect();
    let model = arguments.model.load().await?;
    let prompt = arguments.prompt.of(&model, Prompts::for_queries)?;
    let query = model.embed_with_prompt(prompt, &[&arguments.query]).await?.swap_remove(0);
    let prompt = model.prompts().for_documents();
    let embed = async |texts: &[&str]| model.embed_with_prompt(prompt, texts).await;
    let vectors = in_steps(&lines, embed).await?;
    let mut found: Vec<_> = numbered
        .iter()
        .zip(&vectors)
        .map(|(line, vector)| (cosine(&query, vector), line))
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut rows = vec![row([&"similarity", &"line", &"text"])];
    let mut out = String::new();
    for (similarity, (number, text)) in found.into_iter().take(arguments.top) {
        if arguments.json {
            let line = json!({ "similarity": similarity, "line": number, "text": text });
            out += &(line.to_string() + "\n");
        } else {
            rows.push(row([&format!("{similarity:.4}"), number, text]));
        }
    }
    print(&if arguments.json { out } else { table(&rows) })?;
    Ok(ExitCode::SUCCESS)
}

async fn in_index(arguments: &Arguments, dir: &Path) -> Result<ExitCode, Failure> {
    let index = Index::open(dir)?;
    let (folder, id) = model_id(arguments.model.name())?;
    index.belongs_to(&id, dir)?;
    let model = arguments.model.how.load(&folder).await?;
    let prompt = arguments.prompt.of(&model, Prompts::for_queries)?;
    let query = model.embed_with_prompt(prompt, &[&arguments.query]).await?.swap_remove(0);
    let mut rows = vec![row([&"similarity", &"place", &"text"])];
    let mut out = String::new();
    for hit in index.search(&query, arguments.top)? {
        let (similarity, file, line, text) = (hit.similarity, hit.file, hit.line, hit.text);
        if arguments.json {
            let line =
                json!({ "similarity": similarity, "file": file, "line": line, "text": text });
            out += &(line.to_string() + "\n");
        } else {
            rows.push(row([&format!("{similarity:.4}"), &format!("{file}:{line}"), &text]));
        }
    }
    print(&if arguments.json { out } else { table(&rows) })?;
    Ok(ExitCode::SUCCESS)
}
