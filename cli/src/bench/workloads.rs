//! The workloads that `cmm bench` measures, from its arguments.

use cmm::bench::{PRESETS, Workload};
use cmm::{FffForm, FffShape, LeafForm, Precision};

use super::arguments::RunArguments;
use crate::output::Failure;

/// The workloads that are asked for, or else the first preset.
pub fn workloads(arguments: &RunArguments) -> Result<Vec<Workload>, Failure> {
    let mut workloads = Vec::new();
    if let Some(width) = arguments.width {
        let mut layers = layers(width, &arguments.fff)?;
        if layers.is_empty() {
            layers.push(FffShape::new(width, 1, 11)?);
        }
        let nodes = layers.first().map_or(0, |shape| shape.neurons());
        workloads.push(Workload {
            name: format!("{width} wide"),
            layers,
            neurons: arguments.neurons.unwrap_or(nodes),
            tokens: vec![1, 64, 1024],
            precisions: vec![Precision::F32, Precision::F16],
            all_tiles: false,
            encoder: None,
        });
    }
    for preset in &arguments.presets {
        workloads.push(Workload::preset(preset, arguments.quick)?);
    }
    if workloads.is_empty() {
        workloads.push(Workload::preset(PRESETS[0].0, arguments.quick)?);
    }
    for workload in &mut workloads {
        let others = layers(workload.widths().0, &arguments.fff)?;
        if !others.is_empty() {
            workload.layers = others;
        }
        if let Some(neurons) = arguments.neurons {
            workload.neurons = neurons;
        }
        workload.all_tiles = arguments.all_tiles;
        if !arguments.batch.is_empty() {
            workload.tokens.clone_from(&arguments.batch);
        }
        if workload.tokens.contains(&0) {
            return Err("a batch of 0 tokens has nothing to measure: give positive numbers, as in --batch 1,64".into());
        }
        if !arguments.precision.is_empty() {
            let precisions = arguments.precision.iter().copied();
            workload.precisions = precisions.map(Precision::from).collect();
        }
    }
    Ok(workloads)
}

fn layers(width: usize, texts: &[String]) -> Result<Vec<FffShape>, Failure> {
    texts.iter().map(|text| layer(width, text)).collect()
}

/// The layer that a word of `--fff` means: `KxD`, `signed:KxD` or `leaf:DxNEURONS`.
fn layer(width: usize, text: &str) -> Result<FffShape, Failure> {
    let (form, size) = text.split_once(':').unwrap_or(("published", text));
    let parts = size.split_once('x').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let Some((first, second)) = parts else {
        let expected = "trees and depth, as in 1x11 or signed:1x11, or leaf:7x32";
        return Err(format!("--fff {text}: expected {expected}").into());
    };
    let trees = |form| FffShape::new(width, first, second)?.in_form(form);
    Ok(match form {
        "published" => trees(FffForm::Published)?,
        "signed" => trees(FffForm::Signed)?,
        "leaf" => {
            let leaf = LeafForm { width: second, ..LeafForm::default() };
            FffShape::leaf(width, width, first, leaf)?
        }
        _ => return Err(format!("--fff {text}: expected published, signed or leaf").into()),
    })
}
