//! Golden checkpoints: whole models, with every stage as the authors' code or a float64 run
//! computed it.

use std::path::{Path, PathBuf};

use crate::check::index::{IndexEntry, read_json};
use crate::check::{Checked, Outcome};
use crate::checkpoint::Checkpoint;
use crate::dtype::Precision;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::executor::EncoderOptions;
use crate::model::{
    Batch, Encoded, EncoderConfig, EncoderWeights, Family, Head, Output, Pooler, Sequence, Tap,
};
use crate::reference::{Comparison, EncoderOutput, F32_RTOL, encoder, row_error};

/// The kinds in `index.json` that are checkpoint folders.
const KINDS: [&str; 3] = ["mlm_checkpoint", "seqcls_checkpoint", "bert_checkpoint"];

/// The error that f16 activations may have at any stage before a decision flips, and the |logit|
/// below which they may flip one.
const HALF_RTOL: f64 = 2e-2;
const HALF_FLIP_MARGIN: f64 = 2e-2;

/// The error that the f16 variants may have, against the reference with the same rounded weights.
const F16_RTOL: f64 = 1e-4;

/// The error that products in 8-bit integers may have at any stage before a decision flips. It adds
/// up from layer to layer, to 0.07 in the random models among the golden ones.
#[cfg(feature = "cpu")]
const INT8_RTOL: f64 = 1e-1;
/// The |logit| of the reference below which these errors may decide either way.
#[cfg(feature = "cpu")]
const INT8_FLIP_MARGIN: f64 = 1e-1;

/// The |logit| of the reference below which f32 rounding in a whole model may decide either way.
const FLIP_MARGIN: f64 = 1e-4;

/// A checkpoint folder with golden batches.
#[derive(Debug, Clone)]
pub struct ModelCase {
    /// Name, unique within a run.
    pub name: String,
    folder: PathBuf,
    batches: Vec<PathBuf>,
}

/// A golden batch, or one pooler on it.
struct Golden {
    name: String,
    file: Checkpoint<'static>,
    batch: Batch,
    output: Output,
    pooler: Option<Pooler>,
    /// The name of the golden tensor that holds the output.
    values: &'static str,
}

pub(crate) fn is_model(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// Returns the checkpoint folders that `folder/index.json` lists.
///
/// # Errors
/// [`Error::Io`] and [`Error::Shape`] name the file and what is wrong with it.
pub fn golden_models(folder: &Path) -> Result<Vec<ModelCase>> {
    let index: Vec<IndexEntry> = read_json(&folder.join("index.json"))?;
    let models = index.into_iter().filter(|entry| is_model(&entry.kind)).map(|entry| {
        let folder = folder.join(&entry.path);
        let batches = entry.cases.iter().map(|case| folder.join(case)).collect();
        ModelCase { name: entry.path, folder, batches }
    });
    Ok(models.collect())
}

impl ModelCase {
    fn golden(&self, config: &EncoderConfig) -> Result<Vec<Golden>> {
        let mut all = Vec::new();
        for path in &self.batches {
            let mut path = path.clone().into_os_string();
            path.push(".safetensors");
            let file = Checkpoint::open(&path)?;
            let batch = batch(&file, config)?;
            let stem = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy();
            let name = format!("{}/{stem}", self.name);
            let (output, values) = match config.head {
                Head::MaskedLm { .. } => {
                    (Output::Tokens((0..batch.len() as u32).collect()), "expected.logits")
                }
                Head::Classifier { .. } => (Output::Classes, "expected.logits"),
                Head::None => (
                    Output::Pooled { pooler: Pooler::MeanUnmasked, normalized: true },
                    "expected.mean_pooled_normalized",
                ),
            };
            let poolers = [
                (Pooler::Avg, "expected.logits_pooler_avg"),
                (Pooler::ZeroIndex, "expected.logits_pooler_zero_index"),
                (Pooler::Max, "expected.logits_pooler_max"),
                (Pooler::Lse, "expected.logits_pooler_lse"),
            ];
            for (pooler, values) in poolers.into_iter().filter(|(_, tensor)| file.has(tensor)) {
                all.push(Golden {
                    name: format!("{name} {pooler:?}"),
                    file: Checkpoint::open(&path)?,
                    batch: batch.clone(),
                    output: output.clone(),
                    pooler: Some(pooler),
                    values,
                });
            }
            all.push(Golden { name, file, batch, output, pooler: None, values });
        }
        all.sort_by_key(|golden| golden.pooler.map(|pooler| pooler as u8));
        Ok(all)
    }

    fn weights(&self, golden: &Golden, precision: Precision) -> Result<EncoderWeights<'static>> {
        let weights = EncoderWeights::open(&self.folder)?.stored_as(precision);
        Ok(match golden.pooler {
            Some(pooler) => weights.with_pooler(pooler),
            None => weights,
        })
    }
}

/// Reads the batch of a golden file: `input.input_ids [B, S]`, with the mask and the token types if
/// the file has them.
fn batch(file: &Checkpoint, config: &EncoderConfig) -> Result<Batch> {
    let ids = file.integers("input.input_ids")?;
    let length = match file.info("input.input_ids")?.shape[..] {
        [_, length] if length > 0 => length,
        ref shape => {
            return Err(Error::shape("shape of input.input_ids", "[B, S]", format!("{shape:?}")));
        }
    };
    let optional = |name: &str| file.has(name).then(|| file.integers(name)).transpose();
    let mask = optional("input.attention_mask")?;
    let types = optional("input.token_type_ids")?;
    let part = |values: &Option<Vec<i32>>, row: usize| -> Vec<u32> {
        let values = values.iter().flat_map(|values| values.chunks(length).nth(row)).flatten();
        values.map(|v| v.cast_unsigned()).collect()
    };
    let sequences: Vec<_> = ids
        .chunks(length)
        .enumerate()
        .map(|(row, ids)| Sequence {
            ids: ids.iter().map(|id| id.cast_unsigned()).collect(),
            types: part(&types, row),
            mask: part(&mask, row).into_iter().map(|seen| seen != 0).collect(),
        })
        .collect();
    Batch::new(config, &sequences)
}

/// Runs the golden batches of a checkpoint. Every stage, path and output is compared with the
/// reference on the same weights (rounded ones for f16), and in f32 with the golden tensors too.
///
/// # Errors
/// Returns errors of the files and of the device, and [`Error::Unsupported`] if the checkpoint has
/// no such form. A wrong result is not an error: it is an [`Outcome`] that did not pass.
pub async fn check_model(case: &ModelCase, on: &Checked) -> Result<Vec<Outcome>> {
    let config = EncoderWeights::open(&case.folder)?.config().clone();
    let (precision, limits) = (on.precision(), on.limits());
    let mut outcomes = Vec::new();
    let mut uploaded: Option<(Option<Pooler>, Encoder)> = None;
    for golden in case.golden(&config)? {
        let weights = case.weights(&golden, precision)?;
        let truth = encoder(&weights, &golden.batch, &golden.output)?;
        let mut same = true;
        let got = if let Checked::Reference = on {
            narrow(&truth)
        } else {
            let device = match uploaded.take() {
                Some((pooler, device)) if pooler == golden.pooler => device,
                _ => on.upload(&weights).await?,
            };
            let got = device.forward(&golden.batch, &golden.output, Tap::Stages).await?;
            let untapped = device.forward(&golden.batch, &golden.output, Tap::None).await?;
            uploaded = Some((golden.pooler, device));
            same = untapped.values == got.values;
            got
        };
        let exact = precision == Precision::F32 && !on.stored().int8;
        let golden_disagreements =
            exact.then(|| disagreements(&golden, &config, &got)).transpose()?;
        let mut reference =
            compare_encoded((&golden.batch, &golden.output), &config, &truth, &got, limits);
        if !same {
            reference.worst_error = f64::INFINITY;
        }
        outcomes.push(Outcome { case: golden.name, reference, golden_disagreements });
    }
    Ok(outcomes)
}

impl Checked {
    fn precision(&self) -> Precision {
        match self {
            Self::Variant(_, variant) => variant.weights.precision(),
            Self::Cooperative(_) => Precision::F16,
            _ => Precision::F32,
        }
    }

    fn limits(&self) -> Limits {
        match (self, self.precision()) {
            #[cfg(feature = "cpu")]
            (Self::HostInt8, _) => Limits { error: INT8_RTOL, flip: INT8_FLIP_MARGIN },
            (Self::Cooperative(_), _) => Limits { error: HALF_RTOL, flip: HALF_FLIP_MARGIN },
            (_, Precision::F32) => Limits { error: F32_RTOL, flip: FLIP_MARGIN },
            (_, Precision::F16) => Limits { error: F16_RTOL, flip: FLIP_MARGIN },
        }
    }

    /// Returns the options with which an encoder is stored for this subject.
    pub(super) fn stored(&self) -> EncoderOptions {
        let options = EncoderOptions::default().weights(self.precision());
        match self {
            Self::Variant(_, variant) => options.variant(*variant),
            Self::Cooperative(_) => options.activations(Precision::F16),
            #[cfg(feature = "cpu")]
            Self::HostInt8 => options.int8(true),
            _ => options,
        }
    }

    async fn upload(&self, weights: &EncoderWeights<'_>) -> Result<Encoder> {
        match self {
            Self::Variant(gpu, _) | Self::Cooperative(gpu) => {
                Encoder::upload(gpu, weights, &self.stored()).await
            }
            #[cfg(feature = "cpu")]
            Self::Host => Encoder::on_host(weights),
            #[cfg(feature = "cpu")]
            Self::HostInt8 => Encoder::on_host_in_int8(weights),
            Self::Reference => self.runs_no("encoders"),
        }
    }
}

/// Converts the reference's result into the form in which a device returns its own.
fn narrow(truth: &EncoderOutput) -> Encoded {
    let narrow = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<_>>();
    Encoded {
        values: narrow(&truth.values),
        width: 0,
        stages: truth.stages.iter().map(|(name, v)| (name.clone(), narrow(v))).collect(),
        paths: truth.paths.clone(),
    }
}

/// The limits on the difference between a device and the reference.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The largest error of a stage's row.
    pub(crate) error: f64,
    /// The |logit| of the reference below which a decision may flip.
    pub(crate) flip: f64,
}

/// Compares the paths layer by layer, then the values of all stages up to the first layer in which
/// a decision flipped.
pub(crate) fn compare_encoded(
    (batch, output): (&Batch, &Output),
    config: &EncoderConfig,
    truth: &EncoderOutput,
    got: &Encoded,
    limits: Limits,
) -> Comparison {
    let mut result = Comparison {
        tokens: batch.len(),
        decisions: 0,
        legitimate_flips: 0,
        wrong_nodes: 0,
        worst_error: 0.0,
        allowed_error: limits.error,
    };
    let mut flipped_in = usize::MAX;
    for (layer, (want, logits)) in truth.paths.iter().zip(&truth.logits).enumerate() {
        let levels = match config.ffn {
            crate::model::Ffn::Fff { depth, .. } => depth + 1,
            crate::model::Ffn::Dense { .. } => 1,
        };
        result.decisions += want.len() / levels * (levels - 1);
        let empty = Vec::new();
        let found = got.paths.get(layer).unwrap_or(&empty);
        if found.len() != want.len() {
            result.wrong_nodes += want.len();
            continue;
        }
        let walks = want.chunks(levels).zip(found.chunks(levels)).zip(logits.chunks(levels));
        for ((want, found), logits) in walks {
            let Some(level) = want.iter().zip(found).position(|(want, found)| want != found) else {
                continue;
            };
            let close = level > 0 && logits[level - 1].abs() <= limits.flip;
            if flipped_in < layer || close {
                result.legitimate_flips += usize::from(close);
                flipped_in = flipped_in.min(layer);
            } else {
                result.wrong_nodes += 1;
            }
        }
    }
    if got.stages.is_empty() {
        result.worst_error = f64::INFINITY;
    }
    for (name, values) in &got.stages {
        let before_flip = layer_of(name).is_none_or(|layer| layer < flipped_in);
        let last = name == "hidden.final" && flipped_in != usize::MAX;
        if let (Some(want), true, false) = (truth.stages.get(name), before_flip, last) {
            let error = worst_error(want, values, want.len() / batch.len());
            result.worst_error = result.worst_error.max(error);
        }
    }
    if flipped_in == usize::MAX {
        let rows = match output {
            Output::Tokens(rows) => rows.len(),
            Output::Hidden => batch.len(),
            Output::Pooled { .. } | Output::Classes => batch.rows().count(),
        };
        let error = worst_error(&truth.values, &got.values, truth.values.len() / rows);
        result.worst_error = result.worst_error.max(error);
    }
    result
}

/// Returns the layer that a stage belongs to.
fn layer_of(stage: &str) -> Option<usize> {
    let digits = stage.trim_start_matches("hidden.").strip_prefix("layer")?;
    digits.split('.').next()?.parse().ok()
}

fn worst_error(want: &[f64], got: &[f32], width: usize) -> f64 {
    if want.len() != got.len() || width == 0 {
        return f64::INFINITY;
    }
    let rows = want.chunks(width).zip(got.chunks(width));
    rows.map(|(want, got)| row_error(want, got)).fold(0.0, f64::max)
}

/// Returns the number of golden tensors that the result does not agree with.
fn disagreements(golden: &Golden, config: &EncoderConfig, got: &Encoded) -> Result<usize> {
    let mut wrong = 0;
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let tensors = got.stages.iter().map(|(name, values)| (format!("expected.{name}"), values));
    for (tensor, values) in tensors.chain([(golden.values.to_owned(), &got.values)]) {
        // Nothing follows the last layer of a post-LN model, and its norm1 stands in another place.
        if !golden.file.has(&tensor) {
            continue;
        }
        let width = golden.file.info(&tensor)?.shape.last().copied().unwrap_or(1);
        let want = wide(golden.file.floats(&tensor)?);
        wrong += usize::from(worst_error(&want, values, width) > F32_RTOL);
    }
    if !golden.file.has(golden.values) {
        let what = format!("{}: tensor", golden.file.name());
        return Err(Error::shape(what, golden.values, "none"));
    }
    if config.family == Family::CrammedBert && golden.file.has("expected.nodes") {
        let want = golden.file.integers("expected.nodes")?;
        let found = got.paths.concat();
        let same = want.iter().map(|node| node.cast_unsigned()).eq(found);
        wrong += usize::from(!same);
    }
    Ok(wrong)
}
