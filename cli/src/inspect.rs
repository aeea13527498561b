//! `cmm inspect`: the parts of a model, and the way that a text takes through its layers.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use cmm::model::{EncoderConfig, EncoderWeights, Ffn};
use serde::Serialize;

use crate::help::{INPUT, OUTPUT};
use crate::model::{ModelArguments, model_folder};
use crate::output::{Failure, print};
use crate::table::{row, table};

#[derive(Args)]
pub struct Arguments {
    /// A text, to show the path of each of its tokens and how they spread over leaves
    #[arg(long, value_name = "TEXT", help_heading = INPUT)]
    text: Option<String>,
    #[command(flatten)]
    model: ModelArguments,
    /// Print the result as JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Everything that `--json` prints.
#[derive(Serialize)]
struct Report {
    config: EncoderConfig,
    /// The neurons of a layer, and how many of them a token engages.
    neurons: usize,
    engaged: usize,
    parts: BTreeMap<&'static str, Part>,
    layers: Vec<LayerSpread>,
}

#[derive(Serialize, Default)]
struct Part {
    parameters: usize,
    bytes: usize,
}

/// How the tokens of a text spread over the leaves of one layer.
#[derive(Serialize)]
struct LayerSpread {
    layer: usize,
    leaves: usize,
    used: usize,
    /// The entropy of the distribution over leaves, in bits.
    entropy: f64,
    /// The tokens (times trees) in the fullest leaf.
    fullest: usize,
    /// Each token and its nodes, in a list for each tree.
    tokens: Vec<(String, Vec<Vec<u32>>)>,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let weights = EncoderWeights::open(model_folder(arguments.model.name())?)?;
    let config = weights.config().clone();
    let (neurons, engaged) = match config.ffn {
        Ffn::Dense { width } => (width, width),
        ffn => {
            let shape = ffn.shape(config.hidden)?;
            shape.map_or((0, 0), |shape| (shape.neurons(), shape.engaged()))
        }
    };
    let mut parts = BTreeMap::<_, Part>::new();
    for (name, shape, bytes) in weights.tensors() {
        let part = parts.entry(part_of(&name)).or_default();
        // The scales of int8 matrices take room, but they are no parameters.
        if !name.ends_with(".scale") {
            part.parameters += shape.iter().product::<usize>();
        }
        part.bytes += bytes;
    }
    drop(weights);
    let layers = match &arguments.text {
        None => Vec::new(),
        Some(text) => spread(arguments, &config, text).await?,
    };
    let report = Report { config, neurons, engaged, parts, layers };
    print(&if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_text()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Which part of a model a tensor belongs to.
fn part_of(name: &str) -> &'static str {
    let has = |part: &str| name.contains(part);
    if has("embedding") {
        "embedding"
    } else if has("ffn.") || has("intermediate.") || (has(".output.dense") && !has("attention")) {
        "feedforward"
    } else if has("attn.") || has("attention.") && !has("LayerNorm") {
        "attention"
    } else if has("norm") || has("LayerNorm") {
        "norms"
    } else {
        "head"
    }
}

async fn spread(
    arguments: &Arguments,
    config: &EncoderConfig,
    text: &str,
) -> Result<Vec<LayerSpread>, Failure> {
    let Ffn::Fff { trees, depth, .. } = config.ffn else {
        return Err("this model's feedforward layers are dense: there are no paths".into());
    };
    let model = arguments.model.load().await?;
    let (sequence, paths) = model.paths(&[text]).await?.swap_remove(0);
    let layer = |(layer, path): (usize, Vec<u32>)| {
        let walks: Vec<_> = path.chunks(depth + 1).collect();
        let mut counts = BTreeMap::<_, usize>::new();
        for (index, walk) in walks.iter().enumerate() {
            *counts.entry((index % trees, walk[depth])).or_default() += 1;
        }
        let share = |count: usize| count as f64 / walks.len() as f64;
        let tokens = sequence.ids.iter().zip(walks.chunks(trees));
        LayerSpread {
            layer,
            leaves: trees << depth,
            used: counts.len(),
            entropy: counts.values().map(|c| -share(*c) * share(*c).log2()).sum(),
            fullest: counts.values().copied().max().unwrap_or(0),
            tokens: tokens
                .map(|(id, walks)| {
                    (model.tokenizer().token(*id), walks.iter().map(|w| w.to_vec()).collect())
                })
                .collect(),
        }
    };
    Ok(paths.into_iter().enumerate().map(layer).collect())
}

impl Report {
    fn to_text(&self) -> String {
        let c = &self.config;
        let ffn = match c.ffn {
            Ffn::Dense { width } => format!("dense, {width} neurons"),
            Ffn::Fff { trees, depth, form } => format!(
                "FFF {}, {} neurons, {} engaged ({:.2} %)",
                form.label(trees, depth),
                self.neurons,
                self.engaged,
                100.0 * self.engaged as f64 / self.neurons as f64
            ),
        };
        let mut rows = vec![
            row([&"family", &format!("{:?}", c.family)]),
            row([&"layers", &c.layers]),
            row([&"hidden", &c.hidden]),
            row([&"heads", &format!("{} of {}", c.heads, c.head_width())]),
            row([&"vocabulary", &c.vocabulary]),
            row([&"longest sequence", &c.positions]),
            row([&"feedforward", &ffn]),
            row([&"head", &format!("{:?}", c.head)]),
        ];
        for (name, part) in &self.parts {
            let sizes = format!("{} parameters, {} bytes", part.parameters, part.bytes);
            rows.push(row([name, &sizes]));
        }
        let mut text = table(&rows);
        for l in &self.layers {
            text += &format!(
                "\nlayer {}: {} of {} leaves used, entropy {:.2} bits, fullest leaf {} tokens\n",
                l.layer, l.used, l.leaves, l.entropy, l.fullest
            );
            let rows: Vec<_> = l
                .tokens
                .iter()
                .map(|(token, walks)| {
                    let walks: Vec<_> = walks.iter().map(|w| joined(w)).collect();
                    row([token, &walks.join(" | ")])
                })
                .collect();
            text += &table(&rows);
        }
        text
    }
}

fn joined(nodes: &[u32]) -> String {
    nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
