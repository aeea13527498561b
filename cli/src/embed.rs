//! `cmm embed` and `cmm similarity`: sentences as vectors.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use cmm::{Prompts, cosine};
use serde_json::json;

use crate::model::{ModelArguments, step_by_step};
use crate::output::{Failure, print};
use crate::prompt::PromptArguments;
use crate::shown::shown;
use crate::tensor_out::TensorsOut;
use crate::text_in::TextArguments;

#[derive(Args)]
pub struct EmbedArguments {
    #[command(flatten)]
    texts: TextArguments,
    #[command(flatten)]
    prompt: PromptArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// Vectors [texts, width] to a .npy or .safetensors file (there as tensor `y`)
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A line of JSON for each text
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct SimilarityArguments {
    /// A text
    a: String,
    /// Another one
    b: String,
    #[command(flatten)]
    prompt: PromptArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn embed(arguments: &EmbedArguments) -> Result<ExitCode, Failure> {
    let texts = arguments.texts.read()?;
    let model = arguments.model.load().await?;
    let width = model.encoder().config().hidden;
    let target = arguments.output.as_ref();
    let file =
        target.map(|file| TensorsOut::create(file, &[texts.len(), width], None)).transpose()?;
    let prompt = arguments.prompt.of(&model, Prompts::for_texts)?;
    let embed = async |texts: &[String]| {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        model.embed_with_prompt(prompt, &texts).await
    };
    let Some(mut file) = file else {
        let show = |texts: &[String], vectors: Vec<Vec<f32>>| {
            let lines = texts.iter().zip(&vectors).map(|(text, vector)| {
                if arguments.json {
                    return json!({ "text": text, "embedding": vector }).to_string() + "\n";
                }
                let first: Vec<_> = vector.iter().take(6).map(|v| format!("{v:+.4}")).collect();
                format!("[{}, ... {width} values]  {}\n", first.join(", "), shown(text))
            });
            print(&lines.collect::<String>())
        };
        step_by_step(&texts, embed, show).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let write = |_: &[String], vectors: Vec<Vec<f32>>| {
        vectors.iter().try_for_each(|vector| file.write(vector, &[]))
    };
    step_by_step(&texts, embed, write).await?;
    let files: Vec<_> = file.finish()?.iter().map(|file| file.display().to_string()).collect();
    let text = if arguments.json {
        json!({ "texts": texts.len(), "width": width, "output": files }).to_string()
    } else {
        format!("{} vectors of {width} -> {}", texts.len(), files.join(", "))
    };
    print(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub async fn similarity(arguments: &SimilarityArguments) -> Result<ExitCode, Failure> {
    let model = arguments.model.load().await?;
    let prompt = arguments.prompt.of(&model, Prompts::for_texts)?;
    let vectors = model.embed_with_prompt(prompt, &[&arguments.a, &arguments.b]).await?;
    let similarity = cosine(&vectors[0], &vectors[1]);
    print(&if arguments.json {
        json!({ "a": arguments.a, "b": arguments.b, "similarity": similarity }).to_string() + "\n"
    } else {
        format!("{similarity:.4}\n")
    })?;
    Ok(ExitCode::SUCCESS)
}
