//! An encoder on a device: uploaded layer by layer, run with one submit a batch.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::fff::{FffLayer, Residual};
use crate::gpu::{Gpu, Precision, Readback, Variant, row_stride};
use crate::model::heads::DeviceHead;
use crate::model::workspace::{Views, Widths, Workspace};
use crate::model::{
    Batch, DenseWeights, EncoderConfig, EncoderWeights, Family, FfnWeights, LayerWeights, Pooler,
};
use crate::ops::{Activation, Attention, Dense, Embed, Epilogue, Gather, LayerNorm};

/// What a forward returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The hidden states of all tokens, `[tokens, hidden]`.
    Hidden,
    /// A row for each sequence, `[sequences, hidden]`.
    Pooled {
        /// How.
        pooler: Pooler,
        /// Whether rows are divided by their Euclidean norm.
        normalized: bool,
    },
    /// The vocabulary's scores for these tokens, rows of the batch: `[rows, vocabulary]`.
    Tokens(Vec<u32>),
    /// Scores of the classes for each sequence, `[sequences, classes]`.
    Classes,
}

/// What else to read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tap {
    /// Nothing.
    #[default]
    None,
    /// The nodes that each token engaged.
    Paths,
    /// Paths, and what every stage of every layer left: for inspection and tests.
    Stages,
}

/// What a forward computed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Encoded {
    /// Rows of the output.
    pub values: Vec<f32>,
    /// Width of those rows.
    pub width: usize,
    /// With [`Tap::Stages`]: name and `[tokens, width]` of every stage, named as
    /// [`reference::encoder`](crate::reference::encoder) names them.
    pub stages: Vec<(String, Vec<f32>)>,
    /// With taps: for each FFF layer `[tokens, trees, levels]`, ids within the tree.
    pub paths: Vec<Vec<u32>>,
}

/// An encoder on a device.
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    variant: Variant,
    widths: Widths,
    embed: Embed,
    embedding_norm: Option<LayerNorm>,
    layers: Vec<Layer>,
    final_norm: Option<LayerNorm>,
    gather: Gather,
    head: DeviceHead,
    classes: usize,
    workspace: Mutex<Option<Workspace>>,
}

#[derive(Debug)]
struct Layer {
    norm1: LayerNorm,
    qkv: Dense,
    attention: Attention,
    attention_out: Dense,
    norm2: LayerNorm,
    ffn: LayerFfn,
    hidden: usize,
    /// Whether heads are padded.
    padded: bool,
}

#[derive(Debug)]
enum LayerFfn {
    Fff(FffLayer),
    Dense { up: Dense, down: Dense },
}

/// Dispatches on their way into one command buffer, with copies of what is tapped.
struct Recording<'g> {
    gpu: &'g Gpu,
    encoder: wgpu::CommandEncoder,
    /// Forgotten of its lifetime, so that it can live beside the encoder; dropped before the encoder is used.
    pass: Option<wgpu::ComputePass<'static>>,
    tap: Tap,
    stages: Vec<(String, Readback, u64, usize)>,
    paths: Vec<(Readback, u64)>,
}

impl<'g> Recording<'g> {
    fn new(gpu: &'g Gpu, tap: Tap) -> Self {
        let encoder = gpu.device().create_command_encoder(&Default::default());
        Self { gpu, encoder, pass: None, tap, stages: Vec::new(), paths: Vec::new() }
    }

    fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        let encoder = &mut self.encoder;
        self.pass.get_or_insert_with(|| {
            encoder.begin_compute_pass(&Default::default()).forget_lifetime()
        })
    }

    /// Copies rows of `width` out, if stages are tapped.
    fn stage(&mut self, name: impl FnOnce() -> String, rows: wgpu::BufferSlice<'_>, width: usize) {
        if self.tap == Tap::Stages {
            let readback = self.copy_out(rows);
            self.stages.push((name(), readback, rows.size(), width));
        }
    }

    fn copy_out(&mut self, rows: wgpu::BufferSlice<'_>) -> Readback {
        self.pass = None;
        let bytes = rows.size();
        let readback = Readback::within_scope(self.gpu, "tap", bytes);
        readback.record(&mut self.encoder, rows.buffer(), bytes);
        readback
    }
}

impl Encoder {
    /// Uploads an encoder in the variant that suits the device best.
    ///
    /// # Errors
    /// Errors of the checkpoint, [`Error::TooLarge`], [`Error::Unsupported`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub async fn upload(
        gpu: &Gpu,
        weights: &EncoderWeights<'_>,
        precision: Precision,
    ) -> Result<Self> {
        Self::upload_as(gpu, weights, gpu.capabilities().best(precision)?).await
    }

    /// Uploads an encoder in a given variant, one layer at a time.
    ///
    /// # Errors
    /// As [`Encoder::upload`].
    pub async fn upload_as(
        gpu: &Gpu,
        weights: &EncoderWeights<'_>,
        variant: Variant,
    ) -> Result<Self> {
        let config = weights.config().clone();
        let (hidden, eps) = (config.hidden, config.norm_eps);
        let head4 = config.head_width().div_ceil(4);
        let context = config.heads * head4 * 4;
        let mut widths = Widths { hidden, qkv: 3 * context, context, ffn: 0 };
        let embedding = weights.embedding()?;
        let embed = Embed::upload(gpu, &embedding, hidden, variant.weights).await?;
        let embedding_norm = norm(gpu, embedding.norm.as_ref(), eps, variant).await?;
        drop(embedding.words);
        let mut layers = Vec::new();
        for index in 0..config.layers {
            let layer = weights.layer(index)?;
            if let FfnWeights::Dense { up, .. } = &layer.ffn {
                widths.ffn = up.output;
            }
            layers.push(Layer::upload(gpu, &config, layer, head4, variant).await?);
        }
        let final_norm = norm(gpu, weights.final_norm()?.as_ref(), eps, variant).await?;
        let head = DeviceHead::upload(gpu, weights, &embed, variant).await?;
        let classes = match weights.head()? {
            crate::model::HeadWeights::Classifier { out, .. } => out.output,
            _ => 0,
        };
        let gather = Gather::new(gpu, hidden).await?;
        Ok(Self {
            config,
            variant,
            widths,
            embed,
            embedding_norm,
            layers,
            final_norm,
            gather,
            head,
            classes,
            workspace: Mutex::new(None),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The variant that runs.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Tokens that a batch may have on this device.
    pub fn max_tokens(&self, gpu: &Gpu) -> usize {
        let limits = &gpu.capabilities().limits;
        let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let widest = self.widths.qkv.max(self.widths.ffn).max(self.widths.hidden);
        (bytes / (row_stride(widest) as u64 * 4)) as usize / 256 * 256
    }

    /// Rows of [`Output::Tokens`] that one forward may ask for on this device.
    pub fn max_rows(&self, gpu: &Gpu) -> usize {
        let limits = &gpu.capabilities().limits;
        let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        (bytes / (row_stride(self.config.vocabulary) as u64 * 4)) as usize
    }

    /// Runs a batch: one submit, then the result is read back, with what `tap` asks for.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the checkpoint has no such head or a row is not in the batch, [`Error::TooLarge`] if the batch has more than
    /// [`Encoder::max_tokens`], [`Error::OutOfMemory`], [`Error::DeviceLost`], [`Error::Gpu`].
    pub async fn forward(
        &self,
        gpu: &Gpu,
        batch: &Batch,
        output: &Output,
        tap: Tap,
    ) -> Result<Encoded> {
        let width = match output {
            Output::Hidden | Output::Pooled { .. } => self.config.hidden,
            Output::Tokens(rows) => {
                if let Some(row) = rows.iter().find(|row| **row as usize >= batch.len()) {
                    let expected = format!("below the batch's {} tokens", batch.len());
                    return Err(Error::mismatch("a row", expected, row));
                }
                self.config.vocabulary
            }
            Output::Classes => self.classes,
        };
        let nothing = matches!(output, Output::Tokens(rows) if rows.is_empty());
        if batch.is_empty() || (nothing && tap == Tap::None) {
            return Ok(Encoded { width, ..Encoded::default() });
        }
        let nothing = nothing.then_some(Output::Hidden);
        let output = nothing.as_ref().unwrap_or(output);
        let kept = self.workspace.lock().unwrap_or_else(PoisonError::into_inner).take();
        let workspace = match kept {
            Some(workspace) if workspace.holds(batch) => workspace,
            _ => Workspace::new(gpu, self.widths, batch).await?,
        };
        let stages = self.head.stages(gpu, &self.config, self.variant, batch, output).await?;
        let mut encoded = Encoded { width, ..Encoded::default() };

        let (recording, result, bytes, stride) = gpu
            .scoped("running an encoder", || -> Result<_> {
                let views = workspace.write(gpu, batch);
                let mut recording = Recording::new(gpu, tap);
                let x = self.record(&mut recording, &views)?;
                let pass = recording.pass();
                self.head.record(gpu, pass, &self.gather, &stages, &views, x);
                let (result, stride) =
                    stages.result().unwrap_or((x, row_stride(self.config.hidden)));
                let bytes = result.size();
                let readback = recording.copy_out(result);
                Ok((recording, readback, bytes, stride))
            })
            .await??;
        let Recording { encoder, stages: tapped, paths, .. } = recording;
        gpu.scoped("running an encoder", || gpu.queue().submit([encoder.finish()])).await?;

        encoded.values = rows(gpu, &result, bytes, stride, width).await?;
        for (name, readback, bytes, width) in tapped {
            let values = rows(gpu, &readback, bytes, row_stride(width), width).await?;
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
        if nothing.is_some() {
            encoded.values.clear();
        }
        *self.workspace.lock().unwrap_or_else(PoisonError::into_inner) = Some(workspace);
        Ok(encoded)
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
            norm.record(gpu, recording.pass(), x, other);
            (x, other) = (other, x);
        }
        recording.stage(|| "hidden.embed".into(), x, hidden);
        for (index, layer) in self.layers.iter().enumerate() {
            (x, other) = match self.config.family {
                Family::CrammedBert => layer.record_pre_norm(recording, views, x, other, index)?,
                Family::Bert => layer.record_post_norm(recording, views, x, other, index)?,
            };
            recording.stage(|| format!("hidden.layer{index}"), x, hidden);
        }
        if let Some(norm) = &self.final_norm {
            norm.record(gpu, recording.pass(), x, other);
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
) -> Result<Option<LayerNorm>> {
    match weights {
        None => Ok(None),
        Some(weights) => LayerNorm::upload(gpu, weights, eps, variant).await.map(Some),
    }
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

impl Layer {
    async fn upload(
        gpu: &Gpu,
        config: &EncoderConfig,
        weights: LayerWeights,
        head4: usize,
        variant: Variant,
    ) -> Result<Self> {
        let (eps, format) = (config.norm_eps, variant.weights);
        let plain = Epilogue::Activated(Activation::None);
        let gelu = Epilogue::Activated(Activation::Gelu);
        let (head, padded) = (config.head_width(), head4 * 4);
        let qkv = padded_rows(weights.qkv, head, padded);
        let out = padded_columns(weights.attention_out, head, padded);
        let residual = match config.family {
            Family::CrammedBert => Residual::Output,
            Family::Bert => Residual::Input,
        };
        Ok(Self {
            hidden: config.hidden,
            padded: head != padded,
            norm1: LayerNorm::upload(gpu, &weights.norm1, eps, variant).await?,
            qkv: Dense::upload(gpu, "query, key, value", &qkv, format, plain).await?,
            attention: Attention::new(gpu, config.heads, head4 as u32, weights.score_scale).await?,
            attention_out: Dense::upload(
                gpu,
                "attention output",
                &out,
                format,
                Epilogue::Accumulated,
            )
            .await?,
            norm2: LayerNorm::upload(gpu, &weights.norm2, eps, variant).await?,
            ffn: match &weights.ffn {
                FfnWeights::Fff(weights) => LayerFfn::Fff(
                    FffLayer::upload_with_residual(gpu, weights, variant, residual).await?,
                ),
                FfnWeights::Dense { up, down } => LayerFfn::Dense {
                    up: Dense::upload(gpu, "feedforward in", up, format, gelu).await?,
                    down: Dense::upload(
                        gpu,
                        "feedforward out",
                        down,
                        format,
                        Epilogue::Accumulated,
                    )
                    .await?,
                },
            },
        })
    }

    /// x += attention(norm1(x)); x += ffn(norm2(x)). Returns x and the other buffer.
    fn record_pre_norm<'w>(
        &self,
        recording: &mut Recording<'_>,
        views: &Views<'w>,
        x: wgpu::BufferSlice<'w>,
        normed: wgpu::BufferSlice<'w>,
        index: usize,
    ) -> Result<(wgpu::BufferSlice<'w>, wgpu::BufferSlice<'w>)> {
        let gpu = recording.gpu;
        let hidden = self.hidden;
        self.norm1.record(gpu, recording.pass(), x, normed);
        recording.stage(|| format!("layer{index}.norm1"), normed, hidden);
        self.record_attention(recording, views, normed, x, index);
        self.norm2.record(gpu, recording.pass(), x, normed);
        recording.stage(|| format!("layer{index}.norm2"), normed, hidden);
        match &self.ffn {
            LayerFfn::Fff(fff) => record_fff(recording, fff, normed, x)?,
            LayerFfn::Dense { up, down } => record_dense_ffn(recording, views, up, down, normed, x),
        }
        Ok((x, normed))
    }

    /// x = norm1(x + attention(x)); x = norm2(x + ffn(x)). Returns where x is, and the other buffer.
    fn record_post_norm<'w>(
        &self,
        recording: &mut Recording<'_>,
        views: &Views<'w>,
        x: wgpu::BufferSlice<'w>,
        normed: wgpu::BufferSlice<'w>,
        index: usize,
    ) -> Result<(wgpu::BufferSlice<'w>, wgpu::BufferSlice<'w>)> {
        let gpu = recording.gpu;
        let hidden = self.hidden;
        self.record_attention(recording, views, x, x, index);
        self.norm1.record(gpu, recording.pass(), x, normed);
        recording.stage(|| format!("layer{index}.norm1"), normed, hidden);
        match &self.ffn {
            LayerFfn::Fff(fff) => {
                record_fff(recording, fff, normed, x)?;
                self.norm2.record(gpu, recording.pass(), x, normed);
                Ok((normed, x))
            }
            LayerFfn::Dense { up, down } => {
                record_dense_ffn(recording, views, up, down, normed, normed);
                self.norm2.record(gpu, recording.pass(), normed, x);
                Ok((x, normed))
            }
        }
    }

    /// `to` += attention(`from`).
    fn record_attention(
        &self,
        recording: &mut Recording<'_>,
        views: &Views<'_>,
        from: wgpu::BufferSlice<'_>,
        to: wgpu::BufferSlice<'_>,
        index: usize,
    ) {
        let gpu = recording.gpu;
        let pass = recording.pass();
        self.qkv.record(gpu, pass, from, views.qkv);
        let Views { qkv, masked, queries, context, .. } = *views;
        self.attention.record(gpu, pass, [qkv, masked, queries, context]);
        if !self.padded {
            recording.stage(|| format!("layer{index}.context"), context, self.hidden);
        }
        self.attention_out.record(gpu, recording.pass(), context, to);
    }
}

/// Records an FFF layer with its residual, and its path if that is tapped.
fn record_fff(
    recording: &mut Recording<'_>,
    fff: &FffLayer,
    x: wgpu::BufferSlice<'_>,
    y: wgpu::BufferSlice<'_>,
) -> Result<()> {
    let gpu = recording.gpu;
    if recording.tap == Tap::None {
        return fff.record(gpu, recording.pass(), x, y, None);
    }
    let shape = fff.shape();
    let tokens = x.size() / (shape.input_stride() as u64 * 4);
    let bytes = tokens * shape.engaged() as u64 * 4;
    let path = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("path"),
        size: bytes,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    fff.record(gpu, recording.pass(), x, y, Some(path.slice(..)))?;
    let readback = recording.copy_out(path.slice(..));
    recording.paths.push((readback, bytes));
    Ok(())
}

/// `to` += down(GELU(up(`from`))).
fn record_dense_ffn(
    recording: &mut Recording<'_>,
    views: &Views<'_>,
    up: &Dense,
    down: &Dense,
    from: wgpu::BufferSlice<'_>,
    to: wgpu::BufferSlice<'_>,
) {
    let gpu = recording.gpu;
    let pass = recording.pass();
    if let Some(neurons) = views.ffn {
        up.record(gpu, pass, from, neurons);
        down.record(gpu, pass, neurons, to);
    }
}

/// Gives every head of the output `padded` rows, the new ones zero.
fn padded_rows(weights: DenseWeights, head: usize, padded: usize) -> DenseWeights {
    if head == padded {
        return weights;
    }
    let pad = |values: &[f32], width: usize| -> Vec<f32> {
        let zeros = vec![0.0; (padded - head) * width];
        values.chunks_exact(head * width).flat_map(|rows| [rows, &zeros].concat()).collect()
    };
    DenseWeights {
        output: weights.output / head * padded,
        weight: pad(&weights.weight, weights.input),
        bias: weights.bias.map(|bias| pad(&bias, 1)),
        input: weights.input,
    }
}

/// Gives every head of the input `padded` columns, the new ones zero.
fn padded_columns(weights: DenseWeights, head: usize, padded: usize) -> DenseWeights {
    if head == padded {
        return weights;
    }
    let zeros = vec![0.0; padded - head];
    let heads = weights.weight.chunks_exact(head);
    DenseWeights {
        weight: heads.flat_map(|columns| [columns, &zeros].concat()).collect(),
        input: weights.input / head * padded,
        ..weights
    }
}
