//! What stands on top of an encoder, on a device.

use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Variant, row_stride};
use crate::model::output::Output;
use crate::model::workspace::Views;
use crate::model::{Batch, EncoderConfig, EncoderWeights, Head, HeadWeights, Pooler};
use crate::ops::{Activation, Dense, Embed, Epilogue, Gather, L2Norm, LayerNorm, NormOutput, Pool};

/// A head on a device.
#[derive(Debug)]
pub(crate) enum DeviceHead {
    None,
    /// The configuration names one whose tensors are not there; why.
    Missing(String),
    /// A decoder for each part of the word embedding, to which it is tied.
    MaskedLm {
        transform: Option<(Dense, LayerNorm)>,
        decoders: Vec<Dense>,
    },
    Classifier {
        pooler: Pooler,
        dense: Dense,
        out: Dense,
    },
}

/// The buffers of one output, `rows` rows each, in the order they are filled; the last ones are the result.
pub(crate) struct Stages {
    /// Which tokens are gathered.
    rows: Option<(Buffer, Vec<u32>)>,
    /// Whether the checkpoint's own head follows.
    headed: bool,
    buffers: Vec<(Buffer, usize)>,
    /// Widths of the result's parts, which lie side by side; none: the result is the hidden states themselves.
    result: Vec<usize>,
    pool: Option<Pool>,
    l2_norm: Option<L2Norm>,
}

impl DeviceHead {
    /// Classes that it tells apart.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::Classifier { out, .. } => out.output(),
            _ => 0,
        }
    }

    fn lacks(&self, wanted: &str) -> Error {
        let found = match self {
            Self::Missing(tensor) => format!("no tensor {tensor}"),
            _ => "none; see the `architectures` of its config.json".into(),
        };
        Error::mismatch("this checkpoint", wanted, found)
    }

    /// The widest row of a buffer that [`Output::Tokens`] needs.
    pub(crate) fn widest_scores(&self) -> usize {
        match self {
            Self::MaskedLm { decoders, .. } => {
                decoders.iter().map(Dense::output_stride).max().unwrap_or(1)
            }
            _ => 1,
        }
    }

    pub(crate) async fn upload(
        gpu: &Gpu,
        weights: &EncoderWeights<'_>,
        embed: &Embed,
        variant: Variant,
    ) -> Result<Self> {
        let EncoderConfig { hidden, norm_eps, head, .. } = *weights.config();
        let plain = Epilogue::Activated(Activation::None);
        let found = match weights.head() {
            // Hidden states and vectors need none.
            Err(Error::MissingTensor { tensor, .. }) => return Ok(Self::Missing(tensor)),
            found => found?,
        };
        match (found, head) {
            (HeadWeights::MaskedLm { transform, bias }, Head::MaskedLm { .. }) => {
                let transform = match transform {
                    None => None,
                    Some((dense, norm)) => {
                        let gelu = Epilogue::Activated(Activation::Gelu);
                        let dense = Dense::upload(gpu, "transform", &dense, variant, gelu).await?;
                        Some((
                            dense,
                            LayerNorm::upload(gpu, &norm, norm_eps, variant, NormOutput::F32)
                                .await?,
                        ))
                    }
                };
                let mut decoders = Vec::new();
                for words in embed.words() {
                    let (rows, sizes) = (words.rows.clone(), (hidden, words.ids.len()));
                    let bias = bias.as_ref().map(|bias| &bias[words.ids.clone()]);
                    decoders.push(Dense::of_buffer(gpu, rows, sizes, bias, variant, plain).await?);
                }
                Ok(Self::MaskedLm { transform, decoders })
            }
            (HeadWeights::Classifier { dense, out }, Head::Classifier { pooler }) => {
                let tanh = Epilogue::Activated(Activation::Tanh);
                let dense = Dense::upload(gpu, "pooler", &dense, variant, tanh).await?;
                let out = Dense::upload(gpu, "classifier", &out, variant, plain).await?;
                Ok(Self::Classifier { pooler, dense, out })
            }
            (HeadWeights::None, Head::None) => Ok(Self::None),
            (_, head) => {
                let found = "weights of another kind";
                Err(Error::mismatch("head", format!("weights of {head:?}"), found))
            }
        }
    }

    /// Gets the buffers that an output of a batch needs.
    pub(crate) async fn stages(
        &self,
        gpu: &Gpu,
        config: &EncoderConfig,
        variant: Variant,
        batch: &Batch,
        output: &Output,
    ) -> Result<Stages> {
        let hidden = row_stride(config.hidden);
        let mut stages = Stages {
            rows: None,
            headed: matches!(output, Output::Tokens(_) | Output::Classes),
            buffers: Vec::new(),
            result: vec![config.hidden],
            pool: None,
            l2_norm: None,
        };
        let (rows, widths) = match (output, self) {
            (Output::Hidden, _) => {
                stages.result.clear();
                return Ok(stages);
            }
            (Output::Pooled { normalized, .. }, _) => {
                (batch.sequences.len(), vec![hidden; 1 + usize::from(*normalized)])
            }
            (Output::Tokens(rows), Self::MaskedLm { transform, decoders }) => {
                let mut widths = vec![hidden];
                if let Some((dense, _)) = transform {
                    widths.extend([dense.output_stride(), hidden]);
                }
                widths.extend(decoders.iter().map(Dense::output_stride));
                stages.result = decoders.iter().map(Dense::output).collect();
                (rows.len(), widths)
            }
            (Output::Classes, Self::Classifier { dense, out, .. }) => {
                stages.result = vec![out.output()];
                (batch.sequences.len(), vec![hidden, dense.output_stride(), out.output_stride()])
            }
            (Output::Tokens(_), head) => return Err(head.lacks("a masked-LM head")),
            (Output::Classes, head) => return Err(head.lacks("a classification head")),
        };
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        for width in widths {
            let buffer = gpu.buffer("head", (rows * width * 4) as u64, usage).await?;
            stages.buffers.push((buffer, width));
        }
        let pooler = match (output, self) {
            (Output::Pooled { pooler, .. }, _) => Some(*pooler),
            (Output::Classes, Self::Classifier { pooler, .. }) => Some(*pooler),
            _ => None,
        };
        if let Some(pooler) = pooler {
            stages.pool = Pool::new(gpu, config.hidden, pooler).await?;
        }
        if stages.pool.is_none() {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            let list = match output {
                Output::Tokens(list) => list.clone(),
                _ => batch.sequences.iter().map(|[first, _]| *first).collect(),
            };
            stages.rows = Some((gpu.buffer("rows", rows as u64 * 4, usage).await?, list));
        }
        if let Output::Pooled { normalized: true, .. } = output {
            stages.l2_norm = Some(L2Norm::new(gpu, config.hidden, variant).await?);
        }
        Ok(stages)
    }

    /// Records the head on the final hidden states `x`. For the inside of an error scope.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        gather: &Gather,
        stages: &Stages,
        views: &Views<'_>,
        x: wgpu::BufferSlice<'_>,
    ) {
        let stage = |index: usize| stages.buffers[index].0.slice(..);
        if let Some((rows, list)) = &stages.rows {
            gpu.queue().write_buffer(rows, 0, bytemuck::cast_slice(list));
            gather.record(gpu, pass, [x, rows.slice(..), stage(0)]);
        } else if let Some(pool) = &stages.pool {
            pool.record(gpu, pass, [x, views.spans, views.masked, stage(0)]);
        }
        match self {
            Self::MaskedLm { transform, decoders } if stages.headed => {
                let mut last = 0;
                if let Some((dense, norm)) = transform {
                    dense.record(gpu, pass, stage(0), stage(1));
                    norm.record(gpu, pass, stage(1), &[stage(2)]);
                    last = 2;
                }
                for (part, decoder) in (last + 1..).zip(decoders) {
                    decoder.record(gpu, pass, stage(last), stage(part));
                }
            }
            Self::Classifier { dense, out, .. } if stages.headed => {
                dense.record(gpu, pass, stage(0), stage(1));
                out.record(gpu, pass, stage(1), stage(2));
            }
            _ => {
                if let Some(norm) = &stages.l2_norm {
                    norm.record(gpu, pass, stage(0), stage(1));
                }
            }
        }
    }
}

impl Stages {
    /// The parts of the result, and the widths of their rows; none if the result is the hidden states themselves.
    pub(crate) fn result(&self) -> impl Iterator<Item = (wgpu::BufferSlice<'_>, usize)> {
        let first = self.buffers.len() - self.result.len().min(self.buffers.len());
        let parts = self.buffers[first..].iter().zip(&self.result);
        parts.map(|((buffer, _), width)| (buffer.slice(..), *width))
    }
}
