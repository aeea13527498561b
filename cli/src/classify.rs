//! `cmm classify`: the likeliest class of each text.

use std::process::ExitCode;

use clap::Args;
use cmm::model::Problem;
use serde_json::json;

use crate::help::{INPUT, OUTPUT};
use crate::model::{ModelArguments, SHIPPED_CLASSIFIER, items_in_steps};
use crate::output::{Failure, print};
use crate::table::{row, table};
use crate::texts::TextArguments;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    texts: TextArguments,
    /// The field of JSON lines that holds the second text of each pair
    ///
    /// The first text is in --field. Rerankers and models of natural language inference classify pairs.
    #[arg(long, value_name = "NAME", help_heading = INPUT)]
    pair: Option<String>,
    #[command(flatten)]
    model: ModelArguments,
    /// Print a JSON object on a line for each text
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let texts: Vec<(String, Option<String>)> = match &arguments.pair {
        None => arguments.texts.read()?.into_iter().map(|text| (text, None)).collect(),
        Some(second) => {
            let pairs = arguments.texts.read_pairs(second)?.into_iter();
            pairs.map(|(first, second)| (first, Some(second))).collect()
        }
    };
    let model = arguments.model.or(SHIPPED_CLASSIFIER).load().await?;
    let scores = items_in_steps(&texts, async |texts: &[(String, Option<String>)]| {
        let pairs: Vec<_> = texts.iter().map(|(a, b)| (a.as_str(), b.as_deref())).collect();
        model.classify_pairs(&pairs).await
    })
    .await?;
    let config = model.encoder().config();
    let label =
        |class: usize| config.labels.get(class).cloned().unwrap_or_else(|| class.to_string());
    let value = if config.problem == Problem::Regression { "value" } else { "probability" };
    let mut out = String::new();
    let mut rows = vec![row([&"class", &value, &"text"])];
    for ((text, second), scores) in texts.iter().zip(scores) {
        let probabilities = config.probabilities(&scores);
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0);
        if arguments.json {
            let mut line = json!({
                "text": text, "class": best, "label": label(best), "scores": scores,
                "probabilities": probabilities,
            });
            if let Some(second) = second {
                line["pair"] = second.as_str().into();
            }
            out += &(line.to_string() + "\n");
        } else {
            let probability = probabilities.get(best).copied().unwrap_or(f64::NAN);
            let both = second.as_ref().map(|second| format!("{text} | {second}"));
            let shown = both.as_ref().unwrap_or(text);
            rows.push(row([&label(best), &format!("{probability:.4}"), shown]));
        }
    }
    print(&if arguments.json { out } else { table(&rows) })?;
    Ok(ExitCode::SUCCESS)
}
