//! An encoder on a GPU: uploaded layer by layer, run with one submit a batch.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result, check_finite};
use crate::gpu::{Gpu, Precision, Readback, Variant, row_stride};
use crate::model::half_layer::HalfLayer;
use crate::model::heads::DeviceHead;
use crate::model::layer::Layer;
use crate::model::recording::{Recording, Stage};
use crate::model::workspace::{Views, Widths, Workspace};
use crate::model::{
    Batch, Encoded, EncoderConfig, EncoderWeights, Family, FfnWeights, Output, Tap,
};
use crate::ops::{Embed, Gather, LayerNorm, NormOutput, QUERIES, QUERIES_COOP};

/// An encoder on a GPU.
#[derive(Debug)]
pub(crate) struct GpuEncoder {
    gpu: Gpu,
    config: EncoderConfig,
    variant: Variant,
    widths: Widths,
    embed: Embed,
    embedding_norm: Option<LayerNorm>,
    layers: Layers,
    final_norm: Option<LayerNorm>,
    gather: Gather,
    head: DeviceHead,
    workspace: Mutex<Option<Workspace>>,
}

/// The layers, by what passes between their operations.
#[derive(Debug)]
enum Layers {
    /// f32.
    Full(Vec<Layer>),
    /// f16.
    Half(Vec<HalfLayer>),
}

impl GpuEncoder {
    /// Uploads an encoder in the variant that suits the device best; in f16, where the device has cooperative matrices, as
    /// [`GpuEncoder::upload_half`] does.
    ///
    /// # Errors
    /// Errors of the checkpoint, [`Error::TooLarge`], [`Error::Unsupported`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub(crate) async fn upload(
        gpu: &Gpu,
        weights: &EncoderWeights<'_>,
        precision: Precision,
    ) -> Result<Self> {
        if precision == Precision::F16
            && HalfLayer::variant(gpu.capabilities(), weights.config()).is_some()
        {
            return Self::upload_half(gpu, weights).await;
        }
        Self::upload_as(gpu, weights, gpu.capabilities().best(precision)?).await
    }

    /// Uploads an encoder whose activations are f16 too, between f32 residuals, for cooperative matrices (tensor cores).
    ///
    /// # Errors
    /// As [`GpuEncoder::upload`]; [`Error::Unsupported`] if the device has no cooperative matrices, or heads are not of 16, 32, 48 or 64 values.
    pub(crate) async fn upload_half(gpu: &Gpu, weights: &EncoderWeights<'_>) -> Result<Self> {
        let device = gpu.capabilities();
        let variant =
            HalfLayer::variant(device, weights.config()).ok_or_else(|| Error::Unsupported {
                what: "an encoder with f16 activations".into(),
                adapter: device.adapter.clone(),
                missing: "cooperative matrices of 16 x 16 in f16, for heads of 16, 32, 48 or 64"
                    .into(),
            })?;
        Self::upload_of(gpu, weights, variant, true).await
    }

    /// Uploads an encoder with f32 activations in a given variant, one layer at a time.
    ///
    /// # Errors
    /// As [`GpuEncoder::upload`].
    pub(crate) async fn upload_as(
        gpu: &Gpu,
        weights: &EncoderWeights<'_>,
        variant: Variant,
    ) -> Result<Self> {
        Self::upload_of(gpu, weights, variant, false).await
    }

    async fn upload_of(
        gpu: &Gpu,
        weights: &EncoderWeights<'_>,
        variant: Variant,
        half: bool,
    ) -> Result<Self> {
        let config = weights.config().clone();
        let (hidden, eps) = (config.hidden, config.norm_eps);
        let head4 = config.head_width().div_ceil(4);
        let context = config.heads * head4 * 4;
        let queries = if half { QUERIES_COOP } else { QUERIES };
        let mut widths = Widths { hidden, qkv: 3 * context, context, ffn: 0, queries, half };
        let embedding = weights.embedding()?;
        let embed = Embed::upload(gpu, &embedding, hidden, variant.weights).await?;
        let first = match (half, config.family) {
            (true, Family::Bert) => NormOutput::Both,
            _ => NormOutput::F32,
        };
        let embedding_norm = norm(gpu, embedding.norm.as_ref(), eps, variant, first).await?;
        drop(embedding.words);
        let mut layers = if half { Layers::Half(Vec::new()) } else { Layers::Full(Vec::new()) };
        for index in 0..config.layers {
            let layer = weights.layer(index)?;
            if let FfnWeights::Dense { up, .. } = &layer.ffn {
                widths.ffn = up.output;
            }
            match &mut layers {
                Layers::Full(layers) => {
                    layers.push(Layer::upload(gpu, &config, layer, head4, variant).await?);
                }
                Layers::Half(layers) => {
                    layers.push(HalfLayer::upload(gpu, &config, layer, variant).await?);
                }
            }
        }
        let last = weights.final_norm()?;
        let final_norm = norm(gpu, last.as_ref(), eps, variant, NormOutput::F32).await?;
        let head = DeviceHead::upload(gpu, weights, &embed, variant).await?;
        let gather = Gather::new(gpu, hidden).await?;
        Ok(Self {
            gpu: gpu.clone(),
            config,
            variant,
            widths,
            embed,
            embedding_norm,
            layers,
            final_norm,
            gather,
            head,
            workspace: Mutex::new(None),
        })
    }

    /// The device that the encoder lies on.
    pub(crate) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The sizes.
    pub(crate) fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The variant that runs.
    pub(crate) fn variant(&self) -> Variant {
        self.variant
    }

    /// How activations are stored between a layer's operations.
    pub(crate) fn activations(&self) -> Precision {
        if self.widths.half { Precision::F16 } else { Precision::F32 }
    }

    /// Tokens that a batch may have on this device.
    pub(crate) fn max_tokens(&self) -> usize {
        let limits = &self.gpu.capabilities().limits;
        let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let widest = self.widths.qkv.max(self.widths.ffn).max(self.widths.hidden);
        (bytes / (row_stride(widest) as u64 * 4)) as usize / 256 * 256
    }

    /// Rows of [`Output::Tokens`] that one forward may ask for on this device.
    pub(crate) fn max_rows(&self) -> usize {
        let limits = &self.gpu.capabilities().limits;
        let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        (bytes / (self.head.widest_scores() as u64 * 4)) as usize
    }

    /// Runs a batch: one submit, then the result is read back, with what `tap` asks for.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the checkpoint has no such head, a row is not in the batch, or the batch was laid out for a model with other
    /// ids, positions or token types; [`Error::TooLarge`] if the batch has more than
    /// [`GpuEncoder::max_tokens`], [`Error::OutOfMemory`], [`Error::DeviceLost`], [`Error::Gpu`].
    pub(crate) async fn forward(
        &self,
        batch: &Batch,
        output: &Output,
        tap: Tap,
    ) -> Result<Encoded> {
        batch.belongs_to(&self.config)?;
        let gpu = &self.gpu;
        let width = match output {
            Output::Hidden | Output::Pooled { .. } => self.config.hidden,
            Output::Tokens(rows) => {
                batch.holds(rows)?;
                self.config.vocabulary
            }
            Output::Classes => self.head.classes(),
        };
        let nothing = matches!(output, Output::Tokens(rows) if rows.is_empty());
        if batch.is_empty() || (nothing && tap == Tap::None) {
            return Ok(Encoded { width, ..Encoded::default() });
        }
        // Taps alone: the hidden states stand in for a result of no rows.
        let output = if nothing { &Output::Hidden } else { output };
        let kept = self.workspace.lock().unwrap_or_else(PoisonError::into_inner).take();
        let workspace = match kept {
            Some(workspace) if workspace.holds(batch) => workspace,
            _ => Workspace::new(gpu, self.widths, batch).await?,
        };
        let stages = self.head.stages(gpu, &self.config, self.variant, batch, output).await?;
        let mut encoded = Encoded { width, ..Encoded::default() };

        let (mut recording, parts) = gpu
            .scoped("running an encoder", || -> Result<_> {
                let views = workspace.write(gpu, batch);
                let mut recording = Recording::new(gpu, tap);
                let x = self.record(&mut recording, &views)?;
                let pass = recording.pass();
                self.head.record(gpu, pass, &self.gather, &stages, &views, x);
                let mut parts: Vec<_> = stages.result().collect();
                if parts.is_empty() {
                    parts.push((x, self.config.hidden));
                }
                let out = |(part, width): (wgpu::BufferSlice<'_>, usize)| {
                    (recording.copy_out(part), part.size(), width)
                };
                let parts: Vec<_> = parts.into_iter().map(out).collect();
                Ok((recording, parts))
            })
            .await??;
        let tapped = std::mem::take(&mut recording.stages);
        let paths = std::mem::take(&mut recording.paths);
        gpu.scoped("running an encoder", || gpu.queue().submit(recording.finish())).await?;

        if !nothing {
            encoded.values = side_by_side(gpu, &parts).await?;
        }
        // Sums may overflow, and what passes between operations in f16 sooner than those.
        let result = match self.activations() {
            Precision::F32 => "the encoder's result, whose sums overflowed:",
            Precision::F16 => "the encoder's result with f16 activations, which f32 ones may help:",
        };
        check_finite(result, &encoded.values)?;
        for Stage { name, readback, bytes, width, stored } in tapped {
            let values = match stored {
                Precision::F32 => rows(gpu, &readback, bytes, row_stride(width), width).await?,
                Precision::F16 => half_rows(gpu, &readback, bytes, width).await?,
            };
            encoded.stages.push((name, values));
        }
        for (readback, bytes) in paths {
            let nodes = readback
                .read(gpu, bytes, |bytes| {
                    bytes.as_chunks::<4>().0.iter().map(|v| u32::from_le_bytes(*v)).collect()
                })
                .await?;
            encoded.paths.push(nodes);
        }
        *self.workspace.lock().unwrap_or_else(PoisonError::into_inner) = Some(workspace);
        Ok(encoded)
    }

    /// Buffers that hold a batch and what comes of it, for [`GpuEncoder::record_into`].
    pub(crate) async fn prepare(&self, batch: &Batch) -> Result<Workspace> {
        batch.belongs_to(&self.config)?;
        let gpu = &self.gpu;
        let workspace = Workspace::new(gpu, self.widths, batch).await?;
        gpu.scoped("preparing an encoder", || workspace.write(gpu, batch).ids.size()).await?;
        Ok(workspace)
    }

    /// Records embedding, layers and final norm of a prepared batch into a pass that the caller began, for measurements.
    pub(crate) fn record_into(
        &self,
        pass: &mut wgpu::ComputePass<'static>,
        workspace: &Workspace,
        batch: &Batch,
    ) -> Result<()> {
        self.record(&mut Recording::within(&self.gpu, pass), &workspace.views(batch)).map(|_| ())
    }

    /// Records embedding, layers and final norm; returns where the hidden states are.
    fn record<'w>(
        &self,
        recording: &mut Recording<'_>,
        views: &Views<'w>,
    ) -> Result<wgpu::BufferSlice<'w>> {
        let gpu = recording.gpu;
        let hidden = self.config.hidden;
        let [mut x, mut other] = views.hidden;
        self.embed.record(gpu, recording.pass(), views.ids, x);
        if let Some(norm) = &self.embedding_norm {
            let mut outputs = vec![other];
            if let (Layers::Half(_), Family::Bert) = (&self.layers, self.config.family) {
                outputs.push(views.normed()?);
            }
            norm.record(gpu, recording.pass(), x, &outputs);
            (x, other) = (other, x);
        }
        recording.stage(|| "hidden.embed".into(), x, hidden);
        match &self.layers {
            Layers::Half(layers) => {
                let half = views.normed()?;
                for (index, layer) in layers.iter().enumerate() {
                    match self.config.family {
                        Family::CrammedBert => {
                            layer.record_pre_norm(recording, views, half, x, index)?;
                        }
                        Family::Bert => {
                            layer.record_post_norm(recording, views, half, [x, other], index)?;
                        }
                    }
                    recording.stage(|| format!("hidden.layer{index}"), x, hidden);
                }
            }
            Layers::Full(layers) => {
                for (index, layer) in layers.iter().enumerate() {
                    (x, other) = match self.config.family {
                        Family::CrammedBert => {
                            layer.record_pre_norm(recording, views, x, other, index)?
                        }
                        Family::Bert => {
                            layer.record_post_norm(recording, views, x, other, index)?
                        }
                    };
                    recording.stage(|| format!("hidden.layer{index}"), x, hidden);
                }
            }
        }
        if let Some(norm) = &self.final_norm {
            norm.record(gpu, recording.pass(), x, &[other]);
            x = other;
        }
        recording.stage(|| "hidden.final".into(), x, hidden);
        Ok(x)
    }
}

async fn norm(
    gpu: &Gpu,
    weights: Option<&crate::model::NormWeights>,
    eps: f64,
    variant: Variant,
    stored: NormOutput,
) -> Result<Option<LayerNorm>> {
    match weights {
        None => Ok(None),
        Some(weights) => LayerNorm::upload(gpu, weights, eps, variant, stored).await.map(Some),
    }
}

/// Reads the parts of a result back, each `(rows, bytes, width)`: row by row, one part's values after the other's.
async fn side_by_side(gpu: &Gpu, parts: &[(Readback, u64, usize)]) -> Result<Vec<f32>> {
    let mut read = Vec::with_capacity(parts.len());
    for (part, bytes, width) in parts {
        read.push((rows(gpu, part, *bytes, row_stride(*width), *width).await?, *width));
    }
    if read.len() == 1 {
        return Ok(read.swap_remove(0).0);
    }
    let count = read.iter().map(|(values, width)| values.len() / width).min().unwrap_or(0);
    let row = |row| read.iter().flat_map(move |(part, width)| &part[row * width..][..*width]);
    Ok((0..count).flat_map(row).copied().collect())
}

/// Reads rows back without their padding.
async fn rows(
    gpu: &Gpu,
    readback: &Readback,
    bytes: u64,
    stride: usize,
    width: usize,
) -> Result<Vec<f32>> {
    readback
        .read(gpu, bytes, |bytes| {
            let rows = bytes.chunks_exact(stride * 4);
            rows.flat_map(|row| row[..width * 4].as_chunks::<4>().0)
                .map(|v| f32::from_le_bytes(*v))
                .collect()
        })
        .await
}

/// As [`rows`], of f16.
async fn half_rows(gpu: &Gpu, readback: &Readback, bytes: u64, width: usize) -> Result<Vec<f32>> {
    readback
        .read(gpu, bytes, |bytes| {
            let rows = bytes.chunks_exact(row_stride(width) * 2);
            rows.flat_map(|row| row[..width * 2].as_chunks::<2>().0)
                .map(|v| half::f16::from_le_bytes(*v).to_f32())
                .collect()
        })
        .await
}
