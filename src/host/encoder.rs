//! Runs a plan on the host's threads.

use rayon::prelude::*;

use crate::dtype::{Dtype, Precision};
use crate::error::{Error, Result, check_finite};
use crate::host::int8::{self, LayerMatrices};
use crate::host::{attention, dense, fff, rows};
use crate::model::{
    Batch, DenseWeights, EmbeddingWeights, Encoded, EncoderConfig, EncoderWeights, HeadWeights,
    LayerWeights, NormWeights, Output, Tap,
};
use crate::plan::{Facts, Memory, Op, Part, PartWeights, Plan, Rows, Step, Target};

/// The number of tokens that a batch may have. Indices of their activations are far from
/// overflowing.
pub(crate) const MAX_TOKENS: usize = 1 << 20;
/// Rows of scores that are computed at once.
pub(crate) const MAX_ROWS: usize = 1 << 10;

/// An encoder's weights on the host.
#[derive(Debug)]
pub(crate) struct HostEncoder {
    config: EncoderConfig,
    facts: Facts,
    target: Target,
    embedding: EmbeddingWeights,
    layers: Vec<LayerWeights>,
    final_norm: Option<NormWeights>,
    head: HeadWeights,
    /// The decoder of a masked-LM head, which is the word embedding once more.
    decoder: Option<DenseWeights>,
    /// The 8-bit matrices of each layer; empty unless products are computed in 8-bit integers.
    int8: Vec<LayerMatrices>,
}

impl HostEncoder {
    /// Reads an encoder. With `in_int8`, products of the layers are computed in 8-bit integers.
    pub(crate) fn read(weights: &EncoderWeights<'_>, in_int8: bool) -> Result<Self> {
        let config = weights.config().clone();
        let embedding = weights.embedding()?;
        let (head, head_facts) = weights.head_or_missing()?;
        let layers = (0..config.layers)
            .into_par_iter()
            .map(|layer| weights.layer(layer))
            .collect::<Result<Vec<_>>>()?;
        let int8 =
            if in_int8 { layers.par_iter().map(LayerMatrices::new).collect() } else { vec![] };
        let scales = layers.iter().map(|layer| layer.score_scale).collect();
        let decoder = match &head {
            HeadWeights::MaskedLm { bias, .. } => Some(DenseWeights {
                input: config.hidden,
                output: config.vocabulary,
                weight: embedding.words.clone(),
                bias: bias.clone(),
            }),
            _ => None,
        };
        Ok(Self {
            facts: Facts { scales, head: head_facts },
            target: Target {
                activations: Precision::F32,
                head: config.head_width(),
                vocabulary: std::iter::once(0..config.vocabulary).collect(),
            },
            final_norm: weights.final_norm()?,
            layers,
            int8,
            head,
            decoder,
            embedding,
            config,
        })
    }

    /// Runs a batch.
    pub(crate) fn forward(&self, batch: &Batch, output: &Output, tap: Tap) -> Result<Encoded> {
        batch.belongs_to(&self.config)?;
        if batch.len() > MAX_TOKENS {
            return Err(Error::input(
                "tokens of a batch",
                format!("at most {MAX_TOKENS}"),
                batch.len(),
            ));
        }
        if let Output::Tokens(rows) = output {
            batch.holds(rows)?;
        }
        let plan = Plan::new(&self.config, &self.facts, &self.target, output, tap != Tap::None)?;
        let mut encoded = Encoded { width: plan.width(), ..Encoded::default() };
        if batch.is_empty() {
            return Ok(encoded);
        }
        let picked: &[u32] = if let Output::Tokens(rows) = output { rows } else { &[] };
        let count = |rows: Rows| match rows {
            Rows::Tokens => batch.len(),
            Rows::Sequences => batch.sequences.len(),
            Rows::Picked => picked.len(),
        };
        // Nodes are stored elsewhere, so a slot of nodes needs no room.
        let memory = Memory::new(&plan, |slot| match slot.dtype {
            Dtype::U32 => 0,
            Dtype::F32 | Dtype::F16 => slot.width,
        });
        let sizes = memory.buffers.iter().map(|(rows, width)| count(*rows) * width);
        let mut buffers: Vec<Vec<f32>> = sizes.map(|size| vec![0.0; size]).collect();
        let filled = |slot: usize| count(plan.slots[slot].rows) * plan.slots[slot].width;
        let mut scratch = Scratch::default();
        for step in &plan.steps {
            let Some(slot) = step.writes.first() else { continue };
            // The buffer is taken out while it is written; a step reads no buffer that it writes.
            let mut y = std::mem::take(&mut buffers[memory.of[*slot]]);
            let x = step.reads.map(|slot| &buffers[memory.of[slot]][..filled(slot)]);
            self.run(step, batch, picked, x.unwrap_or(&[]), &mut y[..filled(*slot)], &mut scratch)?;
            buffers[memory.of[*slot]] = y;
            if let (Op::Fff { .. }, true) = (&step.op, tap != Tap::None) {
                encoded.paths.push(std::mem::take(&mut scratch.path));
            }
            if let (Some(name), Tap::Stages) = (&step.stage, tap) {
                let values = buffers[memory.of[*slot]][..filled(*slot)].to_vec();
                encoded.stages.push((name.clone(), values));
            }
        }
        if let Some(slot) = plan.results.first() {
            encoded.values = std::mem::take(&mut buffers[memory.of[*slot]]);
            encoded.values.truncate(filled(*slot));
        }
        check_finite("the encoder's result (its sums overflowed)", &encoded.values)?;
        Ok(encoded)
    }

    /// Runs one step, from `x` to `y`.
    fn run(
        &self,
        step: &Step,
        batch: &Batch,
        picked: &[u32],
        x: &[f32],
        y: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let hidden = self.config.hidden;
        match &step.op {
            Op::Embed { .. } => rows::embed(&self.embedding, batch, hidden, y),
            Op::Norm { eps } => match self.part(step)? {
                PartWeights::Norm(norm) => rows::norm(norm, *eps as f32, x, y),
                _ => return Err(lacks(step)),
            },
            Op::Dense { activation, .. } => match self.part(step)? {
                PartWeights::Dense(weights) => {
                    let (activation, adds) = (*activation, step.adds.is_some());
                    match self.matrix(step) {
                        Some(matrix) => {
                            int8::dense(matrix, weights.bias.as_deref(), activation, adds, x, y);
                        }
                        None => dense(weights, activation, adds, x, y),
                    }
                }
                _ => return Err(lacks(step)),
            },
            Op::Fff { shape } => {
                let PartWeights::Fff(weights) = self.part(step)? else { return Err(lacks(step)) };
                scratch.sum.resize(y.len(), 0.0);
                scratch.path.resize(batch.len() * shape.path_len(), 0);
                let leaves = self.matrices(step).and_then(|matrices| matrices.leaves.as_deref());
                fff::fff_into(weights, leaves, x, &mut scratch.sum, &mut scratch.path);
                match step.adds {
                    None => y.fill(0.0),
                    adds if adds == step.reads => y.copy_from_slice(x),
                    Some(_) => {}
                }
                y.iter_mut().zip(&scratch.sum).for_each(|(y, sum)| *y += sum);
            }
            Op::Attention { heads, scale, .. } => attention::attention(batch, *heads, *scale, x, y),
            Op::Pool(pooler) => rows::pool(batch, *pooler, hidden, x, y),
            Op::Gather => {
                for (row, y) in picked.iter().zip(y.chunks_exact_mut(hidden)) {
                    y.copy_from_slice(&x[*row as usize * hidden..][..hidden]);
                }
            }
            Op::Normalize => {
                y.copy_from_slice(x);
                rows::normalize(hidden, y);
            }
        }
        Ok(())
    }

    /// Returns the 8-bit matrices of a step's layer.
    fn matrices(&self, step: &Step) -> Option<&LayerMatrices> {
        match step.part {
            Some(Part::Layer(layer, _)) => self.int8.get(layer),
            _ => None,
        }
    }

    /// Returns the 8-bit matrix of a step.
    fn matrix(&self, step: &Step) -> Option<&int8::Matrix> {
        match step.part {
            Some(Part::Layer(_, part)) => self.matrices(step)?.dense(part),
            _ => None,
        }
    }

    /// Returns the weights of a step.
    fn part(&self, step: &Step) -> Result<PartWeights<'_>> {
        let found = match step.part {
            Some(Part::EmbeddingNorm) => self.embedding.norm_part(),
            Some(Part::Layer(layer, part)) => {
                self.layers.get(layer).and_then(|layer| layer.part(part))
            }
            Some(Part::FinalNorm) => self.final_norm.as_ref().map(PartWeights::Norm),
            Some(Part::Decoder(_)) => self.decoder.as_ref().map(PartWeights::Dense),
            Some(part) => self.head.part(part),
            None => None,
        };
        found.ok_or_else(|| lacks(step))
    }
}

/// The memory of a forward in addition to its slots.
#[derive(Default)]
struct Scratch {
    /// The output of the last FFF layer before it is added.
    sum: Vec<f32>,
    /// The nodes of the last FFF layer.
    path: Vec<u32>,
}

fn lacks(step: &Step) -> Error {
    Error::config("this encoder", format!("weights of {:?}", step.part), "none")
}
