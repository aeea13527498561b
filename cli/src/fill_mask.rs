//! `cmm fill-mask`: the likeliest tokens in place of the masks of texts.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::help::OUTPUT;
use crate::model::{ModelArguments, in_steps};
use crate::output::{Failure, print};
use crate::shown::shown;
use crate::table::{row, table};
use crate::texts::TextArguments;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    texts: TextArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// The number of tokens for each mask, the likeliest first
    #[arg(short = 'k', visible_short_alias = 'n', long, value_name = "COUNT", default_value_t = 5, help_heading = OUTPUT)]
    top: usize,
    /// Print a JSON object on a line for each text
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let texts = arguments.texts.read()?;
    if !arguments.model.is_named() {
        let other = "name one that has, as in --model pbelcak/UltraFastBERT-1x11-long";
        return Err(format!("no model that comes with cmm has a head for masks: {other}").into());
    }
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
