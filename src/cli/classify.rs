//! `cmm classify`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::hub::SHIPPED_CLASSIFIER;
use crate::cli::model::{ModelArguments, in_steps};
use crate::cli::table::{row, table};
use crate::cli::text_in::TextArguments;
use crate::cli::{Failure, print};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    texts: TextArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// A line of JSON for each text
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let texts = arguments.texts.read()?;
    let model = arguments.model.or(SHIPPED_CLASSIFIER).load().await?;
    let scores = in_steps(&texts, async |texts| model.classify(texts).await).await?;
    let labels = &model.encoder().config().labels;
    let label = |class: usize| labels.get(class).cloned().unwrap_or_else(|| class.to_string());
    let mut out = String::new();
    let mut rows = vec![row([&"class", &"probability", &"text"])];
    for (text, scores) in texts.iter().zip(scores) {
        let probabilities = softmax(&scores);
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0);
        if arguments.json {
            let line = json!({
                "text": text, "class": best, "label": label(best), "scores": scores,
                "probabilities": probabilities,
            });
            out += &(line.to_string() + "\n");
        } else {
            let probability = probabilities.get(best).copied().unwrap_or(f64::NAN);
            rows.push(row([&label(best), &format!("{probability:.4}"), text]));
        }
    }
    print(&if arguments.json { out } else { table(&rows) })?;
    Ok(ExitCode::SUCCESS)
}

fn softmax(scores: &[f32]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = scores.iter().map(|s| f64::from(s - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}
