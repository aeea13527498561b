//! `cmm embed` and `cmm similarity`: sentences as vectors.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use cmm::model::Sequence;
use cmm::{Prompts, cosine};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use crate::help::OUTPUT;
use crate::model::ModelArguments;
use crate::output::{Failure, print};
use crate::prompt::PromptArguments;
use crate::shown::shown;
use crate::stages::{in_stages, steps};
use crate::tensor_out::TensorsOut;
use crate::texts::TextArguments;

/// A step has as many bytes of texts as the tokens of a batch times this: about eight batches.
const BYTES_PER_STEP: usize = 32;

#[derive(Args)]
pub struct EmbedArguments {
    #[command(flatten)]
    texts: TextArguments,
    #[command(flatten)]
    prompt: PromptArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// The .npy or .safetensors file to write the vectors to
    ///
    /// It holds them as [texts, width]; in a .safetensors file the tensor is called `y`.
    #[arg(short, long, value_name = "FILE", alias = "out", help_heading = OUTPUT)]
    output: Option<PathBuf>,
    /// Print a JSON object on a line for each text
    ///
    /// With --output it is one object, which says how many seconds loading the model took, and then tokenizing, the device and writing, which overlap.
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// The line that `--json` prints for a text.
#[derive(Serialize)]
struct Line<'t> {
    text: &'t str,
    embedding: &'t [f32],
}

#[derive(Args)]
pub struct SimilarityArguments {
    /// A text
    a: String,
    /// Another text
    b: String,
    #[command(flatten)]
    prompt: PromptArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// Print the result as JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

pub async fn embed(arguments: &EmbedArguments) -> Result<ExitCode, Failure> {
    let texts = arguments.texts.read()?;
    let since = Instant::now();
    let model = arguments.model.load().await?;
    let load = since.elapsed();
    let width = model.encoder().config().hidden;
    let target = arguments.output.as_ref();
    let file =
        target.map(|file| TensorsOut::create(file, &[texts.len(), width], None)).transpose()?;
    let prompt = arguments.prompt.of(&model, Prompts::for_texts)?;
    // A step has several batches, so that the device has the next one while the vectors of this one are read.
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
        let [load, tokenize, device, write] =
            [load, times.tokenize, times.device, times.write].map(|time| time.as_secs_f64());
        let seconds =
            json!({ "load": load, "tokenize": tokenize, "device": device, "write": write });
        let (texts, output) = (texts.len(), files);
        json!({ "texts": texts, "width": width, "output": output, "seconds": seconds }).to_string()
    } else {
        format!("{} vectors of {width} -> {}", texts.len(), files.join(", "))
    };
    print(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub async fn similarity(arguments: &SimilarityArguments) -> Result<ExitCode, Failure> {
    for text in [&arguments.a, &arguments.b] {
        if Path::new(text).is_file() {
            eprintln!(
                "{} is also the name of a file: the name is compared, not what is in the file",
                shown(text)
            );
        }
    }
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
