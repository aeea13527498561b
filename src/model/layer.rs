//! A transformer layer on a device.

use crate::error::Result;
use crate::fff::{Activations, FffLayer, Residual};
use crate::gpu::{Gpu, Variant};
use crate::model::output::Tap;
use crate::model::recording::Recording;
use crate::model::workspace::Views;
use crate::model::{DenseWeights, EncoderConfig, Family, FfnWeights, LayerWeights};
use crate::ops::{Activation, Attention, Dense, Epilogue, LayerNorm, NormOutput};

/// A layer, of either family.
#[derive(Debug)]
pub(crate) struct Layer {
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

impl Layer {
    pub(crate) async fn upload(
        gpu: &Gpu,
        config: &EncoderConfig,
        weights: LayerWeights,
        head4: usize,
        variant: Variant,
    ) -> Result<Self> {
        let eps = config.norm_eps;
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
            norm1: LayerNorm::upload(gpu, &weights.norm1, eps, variant, NormOutput::F32).await?,
            qkv: Dense::upload(gpu, "query, key, value", &qkv, variant, plain).await?,
            attention: Attention::new(gpu, config.heads, head4 as u32, weights.score_scale).await?,
            attention_out: Dense::upload(
                gpu,
                "attention output",
                &out,
                variant,
                Epilogue::Accumulated,
            )
            .await?,
            norm2: LayerNorm::upload(gpu, &weights.norm2, eps, variant, NormOutput::F32).await?,
            ffn: match &weights.ffn {
                FfnWeights::Fff(weights) => LayerFfn::Fff(
                    FffLayer::upload_with_residual(
                        gpu,
                        weights,
                        variant,
                        Activations::F32,
                        residual,
                    )
                    .await?,
                ),
                FfnWeights::Dense { up, down } => LayerFfn::Dense {
                    up: Dense::upload(gpu, "feedforward in", up, variant, gelu).await?,
                    down: Dense::upload(
                        gpu,
                        "feedforward out",
                        down,
                        variant,
                        Epilogue::Accumulated,
                    )
                    .await?,
                },
            },
        })
    }

    /// x += attention(norm1(x)); x += ffn(norm2(x)). Returns x and the other buffer.
    pub(crate) fn record_pre_norm<'w>(
        &self,
        recording: &mut Recording<'_>,
        views: &Views<'w>,
        x: wgpu::BufferSlice<'w>,
        normed: wgpu::BufferSlice<'w>,
        index: usize,
    ) -> Result<(wgpu::BufferSlice<'w>, wgpu::BufferSlice<'w>)> {
        let gpu = recording.gpu;
        let hidden = self.hidden;
        self.norm1.record(gpu, recording.pass(), x, &[normed]);
        recording.stage(|| format!("layer{index}.norm1"), normed, hidden);
        self.record_attention(recording, views, normed, x, index);
        self.norm2.record(gpu, recording.pass(), x, &[normed]);
        recording.stage(|| format!("layer{index}.norm2"), normed, hidden);
        match &self.ffn {
            LayerFfn::Fff(fff) => record_fff(recording, fff, normed, x)?,
            LayerFfn::Dense { up, down } => {
                record_dense_ffn(recording, views, up, down, normed, x)?
            }
        }
        Ok((x, normed))
    }

    /// x = norm1(x + attention(x)); x = norm2(x + ffn(x)). Returns where x is, and the other buffer.
    pub(crate) fn record_post_norm<'w>(
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
        self.norm1.record(gpu, recording.pass(), x, &[normed]);
        recording.stage(|| format!("layer{index}.norm1"), normed, hidden);
        match &self.ffn {
            LayerFfn::Fff(fff) => {
                record_fff(recording, fff, normed, x)?;
                self.norm2.record(gpu, recording.pass(), x, &[normed]);
                Ok((normed, x))
            }
            LayerFfn::Dense { up, down } => {
                record_dense_ffn(recording, views, up, down, normed, normed)?;
                self.norm2.record(gpu, recording.pass(), normed, &[x]);
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

/// Records an FFF layer with its residual, y in f32, and its path if that is tapped.
pub(crate) fn record_fff(
    recording: &mut Recording<'_>,
    fff: &FffLayer,
    x: wgpu::BufferSlice<'_>,
    y: wgpu::BufferSlice<'_>,
) -> Result<()> {
    let gpu = recording.gpu;
    if recording.tap == Tap::None {
        return fff.record(recording.pass(), x, y, None);
    }
    let shape = fff.shape();
    let tokens = y.size() / (shape.output_stride() as u64 * 4);
    let bytes = tokens * shape.engaged() as u64 * 4;
    let path = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("path"),
        size: bytes,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    fff.record(recording.pass(), x, y, Some(path.slice(..)))?;
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
) -> Result<()> {
    let (gpu, neurons) = (recording.gpu, views.neurons()?);
    let pass = recording.pass();
    up.record(gpu, pass, from, neurons);
    down.record(gpu, pass, neurons, to);
    Ok(())
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
