//! A plan on the host's threads.

use rayon::prelude::*;

use crate::error::{Error, Result, check_finite};
use crate::fff::FffWeights;
use crate::host::{attention, dense, fff, rows};
use crate::model::plan::{LayerPart, Op, Part, Plan, Rows, Step};
use crate::model::{
    Batch, DenseWeights, EmbeddingWeights, Encoded, EncoderConfig, EncoderWeights, FfnWeights,
    HeadWeights, LayerWeights, NormWeights, Output, Tap,
};

/// Tokens that a batch may have: so many that indices of their activations are far from overflowing.
pub(crate) const MAX_TOKENS: usize = 1 << 20;
/// Rows of scores at once.
pub(crate) const MAX_ROWS: usize = 1 << 10;

/// An encoder's weights on the host.
#[derive(Debug)]
pub(crate) struct HostEncoder {
    config: EncoderConfig,
    embedding: EmbeddingWeights,
    layers: Vec<LayerWeights>,
    final_norm: Option<NormWeights>,
    head: HostHead,
}

/// What stands on top.
#[derive(Debug)]
enum HostHead {
    None,
    /// The configuration names one whose tensor is not there.
    Missing(String),
    MaskedLm {
        transform: Option<(DenseWeights, NormWeights)>,
        /// The word embedding.
        decoder: DenseWeights,
    },
    Classifier {
        dense: DenseWeights,
        out: DenseWeights,
    },
}

impl HostHead {
    fn read(weights: &EncoderWeights<'_>, words: &[f32]) -> Result<Self> {
        let config = weights.config();
        Ok(match weights.head() {
            // Hidden states and vectors need none.
            Err(Error::MissingTensor { tensor, .. }) => Self::Missing(tensor),
            Err(error) => return Err(error),
            Ok(HeadWeights::None) => Self::None,
            Ok(HeadWeights::MaskedLm { transform, bias }) => Self::MaskedLm {
                transform,
                decoder: DenseWeights {
                    input: config.hidden,
                    output: config.vocabulary,
                    weight: words.to_vec(),
                    bias,
                },
            },
            Ok(HeadWeights::Classifier { dense, out }) => Self::Classifier { dense, out },
        })
    }
}

impl HostEncoder {
    pub(crate) fn read(weights: &EncoderWeights<'_>) -> Result<Self> {
        let config = weights.config().clone();
        let embedding = weights.embedding()?;
        Ok(Self {
            layers: (0..config.layers)
                .into_par_iter()
                .map(|layer| weights.layer(layer))
                .collect::<Result<_>>()?,
            final_norm: weights.final_norm()?,
            head: HostHead::read(weights, &embedding.words)?,
            embedding,
            config,
        })
    }

    /// Runs a batch.
    pub(crate) fn forward(&self, batch: &Batch, output: &Output, tap: Tap) -> Result<Encoded> {
        batch.belongs_to(&self.config)?;
        if batch.len() > MAX_TOKENS {
            return Err(Error::mismatch(
                "tokens of a batch",
                format!("at most {MAX_TOKENS}"),
                batch.len(),
            ));
        }
        if let Output::Tokens(rows) = output {
            batch.holds(rows)?;
        }
        let plan = self.plan(output)?;
        let width = plan.slots[plan.result].width;
        let mut encoded = Encoded { width, ..Encoded::default() };
        if batch.is_empty() {
            return Ok(encoded);
        }
        let picked: &[u32] = if let Output::Tokens(rows) = output { rows } else { &[] };
        let mut slots: Vec<Vec<f32>> = plan
            .slots
            .iter()
            .map(|slot| {
                let rows = match slot.rows {
                    Rows::Tokens => batch.len(),
                    Rows::Sequences => batch.sequences.len(),
                    Rows::Picked => picked.len(),
                };
                vec![0.0; rows * slot.width]
            })
            .collect();
        let mut scratch = Scratch::default();
        for step in &plan.steps {
            // Taken out while it is written; a step that reads what it writes works in place.
            let mut y = std::mem::take(&mut slots[step.writes]);
            self.run(step, batch, picked, slots.get(step.reads), &mut y, &mut scratch)?;
            slots[step.writes] = y;
            if let (Op::Fff(_), true) = (step.op, tap != Tap::None) {
                encoded.paths.push(std::mem::take(&mut scratch.path));
            }
            if let (Some(name), Tap::Stages) = (&step.stage, tap) {
                encoded.stages.push((name.clone(), slots[step.writes].clone()));
            }
        }
        encoded.values = std::mem::take(&mut slots[plan.result]);
        check_finite("the encoder's result, whose sums overflowed:", &encoded.values)?;
        Ok(encoded)
    }

    /// The plan to an output, and the widths that only weights know.
    fn plan(&self, output: &Output) -> Result<Plan> {
        let (classes, pooled) = match &self.head {
            HostHead::Classifier { dense, out } => (out.output, dense.output),
            _ => (0, 0),
        };
        let missing = matches!(self.head, HostHead::Missing(_))
            && matches!(output, Output::Tokens(_) | Output::Classes);
        let plan = Plan::new(&self.config, [classes, pooled], output).filter(|_| !missing);
        plan.ok_or_else(|| {
            let wanted = match output {
                Output::Classes => "a classification head",
                _ => "a masked-LM head",
            };
            let found = match &self.head {
                HostHead::Missing(tensor) => format!("no tensor {tensor}"),
                _ => "none; see the `architectures` of its config.json".into(),
            };
            Error::mismatch("this checkpoint", wanted, found)
        })
    }

    /// One step: from `x` to `y`, or on `y` in place where the step reads what it writes.
    fn run(
        &self,
        step: &Step,
        batch: &Batch,
        picked: &[u32],
        x: Option<&Vec<f32>>,
        y: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let copy;
        let x: &[f32] =
            if step.reads == step.writes && !matches!(step.op, Op::Embed | Op::Normalize) {
                copy = y.to_vec();
                &copy
            } else {
                x.map_or(&[], Vec::as_slice)
            };
        let hidden = self.config.hidden;
        match step.op {
            Op::Embed => rows::embed(&self.embedding, batch, hidden, y),
            Op::Norm(part) => rows::norm(self.norm(part)?, self.config.norm_eps as f32, x, y),
            Op::Dense(part, activation) => dense(self.dense(part)?, activation, step.adds, x, y),
            Op::Fff(part) => {
                let weights = self.fff(part)?;
                scratch.sum.resize(y.len(), 0.0);
                scratch.path.resize(batch.len() * weights.shape().engaged(), 0);
                fff::fff_into(weights, x, &mut scratch.sum, &mut scratch.path);
                y.iter_mut().zip(&scratch.sum).for_each(|(y, sum)| *y += sum);
            }
            Op::Attention { layer } => {
                let scale = self.layer(layer)?.score_scale;
                attention::attention(batch, self.config.heads, scale, x, y);
            }
            Op::Pool(pooler) => rows::pool(batch, pooler, hidden, x, y),
            Op::Gather => {
                for (row, y) in picked.iter().zip(y.chunks_exact_mut(hidden)) {
                    y.copy_from_slice(&x[*row as usize * hidden..][..hidden]);
                }
            }
            Op::Normalize => rows::normalize(hidden, y),
        }
        Ok(())
    }

    fn layer(&self, layer: usize) -> Result<&LayerWeights> {
        self.layers.get(layer).ok_or_else(|| lacks(Part::Layer(layer, LayerPart::Qkv)))
    }

    fn norm(&self, part: Part) -> Result<&NormWeights> {
        match part {
            Part::EmbeddingNorm => self.embedding.norm.as_ref(),
            Part::Layer(layer, LayerPart::Norm1) => Some(&self.layer(layer)?.norm1),
            Part::Layer(layer, LayerPart::Norm2) => Some(&self.layer(layer)?.norm2),
            Part::FinalNorm => self.final_norm.as_ref(),
            Part::TransformNorm => match &self.head {
                HostHead::MaskedLm { transform: Some((_, norm)), .. } => Some(norm),
                _ => None,
            },
            _ => None,
        }
        .ok_or_else(|| lacks(part))
    }

    fn dense(&self, part: Part) -> Result<&DenseWeights> {
        match (part, &self.head) {
            (Part::Layer(layer, LayerPart::Qkv), _) => Some(&self.layer(layer)?.qkv),
            (Part::Layer(layer, LayerPart::AttentionOut), _) => {
                Some(&self.layer(layer)?.attention_out)
            }
            (Part::Layer(layer, which), _) => match (which, &self.layer(layer)?.ffn) {
                (LayerPart::Up, FfnWeights::Dense { up, .. }) => Some(up),
                (LayerPart::Down, FfnWeights::Dense { down, .. }) => Some(down),
                _ => None,
            },
            (Part::Transform, HostHead::MaskedLm { transform: Some((dense, _)), .. }) => {
                Some(dense)
            }
            (Part::Decoder, HostHead::MaskedLm { decoder, .. }) => Some(decoder),
            (Part::Pooler, HostHead::Classifier { dense, .. }) => Some(dense),
            (Part::Classifier, HostHead::Classifier { out, .. }) => Some(out),
            _ => None,
        }
        .ok_or_else(|| lacks(part))
    }

    fn fff(&self, part: Part) -> Result<&FffWeights> {
        match part {
            Part::Layer(layer, LayerPart::Fff) => match &self.layer(layer)?.ffn {
                FfnWeights::Fff(weights) => Some(weights),
                FfnWeights::Dense { .. } => None,
            },
            _ => None,
        }
        .ok_or_else(|| lacks(part))
    }
}

/// Memory of a forward beside its slots.
#[derive(Default)]
struct Scratch {
    /// What the last FFF layer computed, before it was added.
    sum: Vec<f32>,
    /// The nodes of the last FFF layer.
    path: Vec<u32>,
}

fn lacks(part: Part) -> Error {
    Error::mismatch("this encoder", format!("weights of {part:?}"), "none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::SlotId;

    #[test]
    fn no_step_reads_a_slot_that_nothing_wrote() {
        use crate::model::{Family, Ffn, Head, Pooler, Problem};
        for family in [Family::Bert, Family::CrammedBert] {
            for ffn in [Ffn::Dense { width: 12 }, Ffn::Fff { trees: 1, depth: 2 }] {
                let config = EncoderConfig {
                    family,
                    layers: 2,
                    hidden: 8,
                    heads: 2,
                    vocabulary: 10,
                    positions: 4,
                    token_types: 2,
                    norm_eps: 1e-12,
                    embedding_norm: family == Family::Bert,
                    final_norm: family == Family::CrammedBert,
                    ffn,
                    head: Head::Classifier { pooler: Pooler::Avg },
                    problem: Problem::Unsaid,
                    labels: Vec::new(),
                };
                let plan = Plan::new(&config, [3, 8], &Output::Classes).unwrap();
                let mut written: Vec<SlotId> = Vec::new();
                for step in &plan.steps {
                    let embeds = step.op == Op::Embed;
                    assert!(embeds || written.contains(&step.reads), "{step:?}");
                    assert!(!step.adds || written.contains(&step.writes), "{step:?}");
                    written.push(step.writes);
                }
                assert_eq!(plan.slots[plan.result].width, 3);
                assert!(Plan::new(&config, [3, 8], &Output::Tokens(vec![])).is_none());
            }
        }
    }
}
