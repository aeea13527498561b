//! `cmm fill-mask`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::model::{ModelArguments, in_steps};
use crate::output::{Failure, print};
use crate::shown::shown;
use crate::table::{row, table};
use crate::text_in::TextArguments;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    texts: TextArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// Fillings of each mask
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// A line of JSON for each text
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let texts = arguments.texts.read()?;
    let model = arguments.model.load().await?;
    let filled =
        in_steps(&texts, async |texts| model.fill_mask(texts, arguments.top).await).await?;
    let mut out = String::new();
    for (text, masks) in texts.iter().zip(filled) {
        if arguments.json {
            out += &(json!({ "text": text, "masks": masks }).to_string() + "\n");
            continue;
        }
        out += &format!("{}\n", shown(text));
        for (index, candidates) in masks.iter().enumerate() {
            let rows: Vec<_> = candidates
                .iter()
                .map(|c| {
                    row([
                        &format!("mask {}", index + 1),
                        &format!("{:.4}", c.probability),
                        &c.token,
                    ])
                })
                .collect();
            out += &table(&rows);
        }
    }
    print(&out)?;
    Ok(ExitCode::SUCCESS)
}
