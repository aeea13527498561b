//! `cmm embed` and `cmm similarity`: sentences as vectors.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use cmm::model::Sequence;
use cmm::{Prompts, cosine};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use crate::model::ModelArguments;
use crate::output::{Failure, print};
use crate::prompt::PromptArguments;
use crate::shown::shown;
use crate::stages::{in_stages, steps};
use crate::tensor_out::TensorsOut;
use crate::text_in::TextArguments;

/// Bytes of texts that run as one step, for each token of a batch: about eight batches.
const BYTES_PER_STEP: usize = 32;

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
    /// A line of JSON for each text; with --output one line, with the seconds that tokenizing, the device and writing took; they overlap
    #[arg(long)]
    json: bool,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'t> {
    text: &'t str,
    embedding: &'t [f32],
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
    // Some batches, so that the device has the next one while this one's vectors are read.
    let steps = steps(&texts, model.batch_tokens() * BYTES_PER_STEP);
    let tokenize = |texts: &[String]| {
        model.tokenize(prompt, &texts.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let run = |tokens: Vec<Sequence>| pollster::block_on(model.embed_sequences(&tokens));
    let Some(mut file) = file else {
        let show = |texts: &[String], vectors: Vec<Vec<f32>>| {
            let line = |(text, vector): (&String, &Vec<f32>)| {
                if arguments.json {
                    return serde_json::to_string(&Line { text, embedding: vector })
                        .map(|line| line + "\n");
                }
                let first: Vec<_> = vector.iter().take(6).map(|v| format!("{v:+.4}")).collect();
                Ok(format!("[{}, ... {width} values]  {}\n", first.join(", "), shown(text)))
            };
            let lines: Result<String, _> = texts.par_iter().zip(&vectors).map(line).collect();
            print(&lines?)
        };
        in_stages(&steps, tokenize, run, show)?;
        return Ok(ExitCode::SUCCESS);
    };
    let write = |_: &[String], vectors: Vec<Vec<f32>>| file.write(&vectors.concat(), &[]);
    let times = in_stages(&steps, tokenize, run, write)?;
    let files: Vec<_> = file.finish()?.iter().map(|file| file.display().to_string()).collect();
    let text = if arguments.json {
        let [tokenize, device, write] =
            [times.tokenize, times.device, times.write].map(|time| time.as_secs_f64());
        let seconds = json!({ "tokenize": tokenize, "device": device, "write": write });
        let (texts, output) = (texts.len(), files);
        json!({ "texts": texts, "width": width, "output": output, "seconds": seconds }).to_string()
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
