//! An encoder's weights on a device, by the part of the plan that needs them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Variant, WeightFormat, upload_blocks, upload_matrix, upload_vector};
use crate::kernels::{Activations, candidates};
use crate::layer::upload_fff;
use crate::model::{
    DenseWeights, EmbeddingWeights, EncoderWeights, HeadWeights, LayerWeights, NormWeights,
};
use crate::plan::{LayerPart, Op, Part, PartWeights, Plan, Step};

/// The buffers of each part, in the order in which its kernels bind them.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    of: HashMap<Part, Vec<Arc<Buffer>>>,
}

/// Weights on the host. Only what is needed at once has been read.
struct Source<'w> {
    weights: &'w EncoderWeights<'w>,
    embedding: EmbeddingWeights,
    layer: Option<(usize, LayerWeights)>,
    final_norm: Option<NormWeights>,
    head: &'w HeadWeights,
}

impl Parts {
    /// Uploads the weights that the steps of a plan need, one layer at a time.
    pub(crate) async fn upload(
        gpu: &Gpu,
        weights: &EncoderWeights<'_>,
        head: &HeadWeights,
        plan: &Plan,
        variant: Variant,
    ) -> Result<Self> {
        let embedding = weights.embedding()?;
        let final_norm = weights.final_norm()?;
        let mut source = Source { weights, embedding, layer: None, final_norm, head };
        let mut parts = Self::default();
        for step in &plan.steps {
            let Some(part) = step.part else { continue };
            if !matches!(part, Part::Embedding(_)) {
                // The words are most of an encoder's bytes, and they are uploaded by now.
                source.embedding.words = Vec::new();
            }
            if let Part::Layer(layer, _) = part
                && source.layer.as_ref().is_none_or(|(read, _)| *read != layer)
            {
                source.layer = None;
                source.layer = Some((layer, source.weights.layer(layer)?));
            }
            let buffers = parts.of_step(gpu, &source, part, plan, step, variant).await?;
            parts.of.insert(part, buffers);
        }
        Ok(parts)
    }

    /// Returns the buffers of a part. It fails if the plan that was uploaded had no such part.
    pub(crate) fn get(&self, part: Part) -> Result<Vec<Arc<Buffer>>> {
        self.of.get(&part).cloned().ok_or_else(|| lacks(part))
    }

    async fn of_step(
        &self,
        gpu: &Gpu,
        source: &Source<'_>,
        part: Part,
        plan: &Plan,
        step: &Step,
        variant: Variant,
    ) -> Result<Vec<Arc<Buffer>>> {
        let hidden = source.weights.config().hidden;
        let format = variant.weights;
        match (&step.op, part) {
            (Op::Embed { ids }, Part::Embedding(place)) => {
                let EmbeddingWeights { words, positions, types, .. } = &source.embedding;
                let words = &words[ids.start * hidden..ids.end * hidden];
                let mut buffers =
                    vec![upload_matrix(gpu, "word embedding", words, hidden, format, None).await?];
                if place > 0 {
                    let first = self.get(Part::Embedding(0))?;
                    return Ok(buffers
                        .into_iter()
                        .map(Arc::new)
                        .chain(first.into_iter().skip(1))
                        .collect());
                }
                for (label, values) in
                    [("position embedding", positions), ("token-type embedding", types)]
                {
                    let f32 = WeightFormat::F32;
                    buffers.push(upload_matrix(gpu, label, values, hidden, f32, None).await?);
                }
                Ok(buffers.into_iter().map(Arc::new).collect())
            }
            (Op::Dense { output, .. }, Part::Decoder(place)) => {
                let words = self.get(Part::Embedding(place))?.swap_remove(0);
                let first = plan.first_id(place);
                let bias = match source.head {
                    HeadWeights::MaskedLm { bias: Some(bias), .. } => {
                        bias[first..first + output].to_vec()
                    }
                    _ => vec![0.0; *output],
                };
                Ok(vec![words, upload_vector(gpu, "bias", &bias).await?.into()])
            }
            (op, part) => match (op, source.part(part)?) {
                (Op::Norm { .. }, PartWeights::Norm(norm)) => Ok(vec![
                    upload_vector(gpu, "norm.weight", &norm.weight).await?.into(),
                    upload_vector(gpu, "norm.bias", &norm.bias).await?.into(),
                ]),
                (Op::Dense { input, output, .. }, PartWeights::Dense(dense)) => {
                    let config = source.weights.config();
                    let dense = padded(dense, config.heads, *input, *output);
                    let layout = DenseLayout::beside(plan.stored(step.reads), format);
                    upload_dense(gpu, &label(part), &dense, layout).await
                }
                (Op::Fff { .. }, PartWeights::Fff(weights)) => {
                    let candidates = candidates(plan, step, variant, gpu.capabilities())?;
                    let stage = candidates.first().and_then(|first| first.stages.first());
                    let lanes = stage.map_or(1, |stage| stage.source.lanes);
                    let [x, y] =
                        [step.reads, step.writes.first().copied()].map(|slot| plan.stored(slot));
                    upload_fff(gpu, weights, format, Activations { x, y }, lanes).await
                }
                _ => Err(lacks(part)),
            },
        }
    }
}

impl Source<'_> {
    fn part(&self, part: Part) -> Result<PartWeights<'_>> {
        let found = match part {
            Part::EmbeddingNorm => self.embedding.norm_part(),
            Part::FinalNorm => self.final_norm.as_ref().map(PartWeights::Norm),
            Part::Layer(_, part) => self.layer.as_ref().and_then(|(_, layer)| layer.part(part)),
            part => self.head.part(part),
        };
        found.ok_or_else(|| lacks(part))
    }
}

fn lacks(part: Part) -> Error {
    Error::config("this encoder", format!("weights of {part:?}"), "none")
}

/// The layout of a dense layer's matrix on a device.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DenseLayout {
    /// The rows lie one after another.
    Rows(WeightFormat),
    /// Blocks of 16 x 16 values in f16 lie one after another, as cooperative matrices read them
    /// beside f16 rows of x.
    Blocks,
}

impl DenseLayout {
    /// Returns the layout that the kernels for such rows of x read, where weights are stored so.
    pub(crate) fn beside(x: Precision, format: WeightFormat) -> Self {
        match x {
            Precision::F16 => Self::Blocks,
            Precision::F32 => Self::Rows(format),
        }
    }
}

/// Uploads a dense layer: its matrix, and its bias or zeros.
pub(crate) async fn upload_dense(
    gpu: &Gpu,
    label: &str,
    weights: &DenseWeights,
    layout: DenseLayout,
) -> Result<Vec<Arc<Buffer>>> {
    let DenseWeights { weight, input, output, bias } = weights;
    let matrix = match layout {
        DenseLayout::Rows(format) => upload_matrix(gpu, label, weight, *input, format, None).await,
        DenseLayout::Blocks => upload_blocks(gpu, label, weight, *input).await,
    };
    let zeros = vec![0.0; *output];
    let bias = upload_vector(gpu, "bias", bias.as_ref().unwrap_or(&zeros)).await?;
    Ok(vec![matrix?.into(), bias.into()])
}

/// Returns the name of a part's weights in error messages and debuggers.
fn label(part: Part) -> String {
    match part {
        Part::Layer(layer, LayerPart::Qkv) => format!("query, key, value of layer {layer}"),
        Part::Layer(layer, LayerPart::AttentionOut) => format!("attention output of layer {layer}"),
        Part::Layer(layer, LayerPart::Up) => format!("feedforward input of layer {layer}"),
        Part::Layer(layer, LayerPart::Down) => format!("feedforward output of layer {layer}"),
        part => format!("{part:?}").to_lowercase(),
    }
}

/// Widens a dense layer to the widths of its step: every head of its output or of its input gets
/// rows or columns of zeros.
fn padded(weights: &DenseWeights, heads: usize, input: usize, output: usize) -> DenseWeights {
    let mut padded = weights.clone();
    if output != weights.output {
        // The output holds q, k and v.
        let (head, wide) = (weights.output / (3 * heads), output / (3 * heads));
        let pad = |values: &[f32], width: usize| -> Vec<f32> {
            let zeros = vec![0.0; (wide - head) * width];
            values.chunks_exact(head * width).flat_map(|rows| [rows, &zeros].concat()).collect()
        };
        padded.weight = pad(&weights.weight, weights.input);
        padded.bias = weights.bias.as_ref().map(|bias| pad(bias, 1));
        padded.output = output;
    }
    if input != weights.input {
        let (head, wide) = (weights.input / heads, input / heads);
        let zeros = vec![0.0; wide - head];
        let columns = padded.weight.chunks_exact(head);
        padded.weight = columns.flat_map(|columns| [columns, &zeros].concat()).collect();
        padded.input = input;
    }
    padded
}
