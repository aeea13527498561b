//! What stands on top of an encoder, on a device.

use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Variant, row_stride};
use crate::model::encoder::Output;
use crate::model::workspace::Views;
use crate::model::{Batch, EncoderConfig, EncoderWeights, Head, HeadWeights, Pooler};
use crate::ops::{Activation, Dense, Embed, Epilogue, Gather, L2Norm, LayerNorm, NormOutput, Pool};

/// A head on a device.
#[derive(Debug)]
pub(crate) enum DeviceHead {
    None,
    MaskedLm { transform: Option<(Dense, LayerNorm)>, decoder: Dense },
    Classifier { pooler: Pooler, dense: Dense, out: Dense },
}

/// The buffers of one output, `rows` rows each, in the order they are filled; the last is the result.
pub(crate) struct Stages {
    /// Which tokens are gathered.
    rows: Option<(Buffer, Vec<u32>)>,
    /// Whether the checkpoint's own head follows.
    headed: bool,
    buffers: Vec<(Buffer, usize)>,
    pool: Option<Pool>,
    l2_norm: Option<L2Norm>,
}

impl DeviceHead {
    pub(crate) async fn upload(
        gpu: &Gpu,
        weights: &EncoderWeights<'_>,
        embed: &Embed,
        variant: Variant,
    ) -> Result<Self> {
        let EncoderConfig { hidden, vocabulary, norm_eps, head, .. } = *weights.config();
        let plain = Epilogue::Activated(Activation::None);
        match (weights.head()?, head) {
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
                let (words, sizes) = (embed.words.clone(), (hidden, vocabulary));
                let decoder =
                    Dense::of_buffer(gpu, words, sizes, bias.as_deref(), variant, plain).await?;
                Ok(Self::MaskedLm { transform, decoder })
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
            pool: None,
            l2_norm: None,
        };
        let (rows, widths) = match (output, self) {
            (Output::Hidden, _) => return Ok(stages),
            (Output::Pooled { normalized, .. }, _) => {
                (batch.sequences.len(), vec![hidden; 1 + usize::from(*normalized)])
            }
            (Output::Tokens(rows), Self::MaskedLm { transform, decoder }) => {
                let mut widths = vec![hidden];
                if let Some((dense, _)) = transform {
                    widths.extend([dense.output_stride(), hidden]);
                }
                widths.push(decoder.output_stride());
                (rows.len(), widths)
            }
            (Output::Classes, Self::Classifier { dense, out, .. }) => {
                (batch.sequences.len(), vec![hidden, dense.output_stride(), out.output_stride()])
            }
            (Output::Tokens(_), _) => return Err(lacks("a masked-LM head")),
            (Output::Classes, _) => return Err(lacks("a classification head")),
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
            Self::MaskedLm { transform, decoder } if stages.headed => {
                let mut last = 0;
                if let Some((dense, norm)) = transform {
                    dense.record(gpu, pass, stage(0), stage(1));
                    norm.record(gpu, pass, stage(1), &[stage(2)]);
                    last = 2;
                }
                decoder.record(gpu, pass, stage(last), stage(last + 1));
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
    /// The result and the width of its rows; none if that is the hidden states themselves.
    pub(crate) fn result(&self) -> Option<(wgpu::BufferSlice<'_>, usize)> {
        self.buffers.last().map(|(buffer, width)| (buffer.slice(..), *width))
    }
}

fn lacks(head: &str) -> Error {
    Error::mismatch("this checkpoint", head, "none; see the `architectures` of its config.json")
}
