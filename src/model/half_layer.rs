//! A transformer layer on a device with cooperative matrices: what passes between operations is f16, the residual stream and all sums f32.

use crate::error::Result;
use crate::fff::{Activations, FffLayer, Residual};
use crate::gpu::{Capabilities, Gpu, Precision, Variant, WeightFormat};
use crate::model::layer::record_fff;
use crate::model::recording::Recording;
use crate::model::workspace::Views;
use crate::model::{EncoderConfig, Family, FfnWeights, LayerWeights};
use crate::ops::{Activation, Attention, CoopDense, Epilogue, LayerNorm, MAX_HEAD16, NormOutput};

/// x and y of an FFF layer: from the normalised rows, to the residual stream.
const ACTIVATIONS: Activations = Activations { x: Precision::F16, y: Precision::F32 };

/// A layer, of either family.
#[derive(Debug)]
pub(crate) struct HalfLayer {
    norm1: LayerNorm,
    qkv: CoopDense,
    attention: Attention,
    attention_out: CoopDense,
    norm2: LayerNorm,
    ffn: HalfFfn,
    hidden: usize,
}

#[derive(Debug)]
enum HalfFfn {
    Fff(FffLayer),
    Dense { up: CoopDense, down: CoopDense },
}

impl HalfLayer {
    /// The variant of the other operations, where a device and a model allow such layers.
    pub(crate) fn variant(device: &Capabilities, config: &EncoderConfig) -> Option<Variant> {
        let head = config.head_width();
        let fits = head.is_multiple_of(16) && head <= 16 * MAX_HEAD16 as usize;
        let mut variants = device.variants().into_iter();
        let packed = variants.find(|variant| variant.weights == WeightFormat::Packed);
        packed.filter(|_| device.cooperative && fits)
    }

    pub(crate) async fn upload(
        gpu: &Gpu,
        config: &EncoderConfig,
        weights: LayerWeights,
        variant: Variant,
    ) -> Result<Self> {
        let eps = config.norm_eps;
        let plain = Epilogue::Activated(Activation::None);
        let gelu = Epilogue::Activated(Activation::Gelu);
        let added = Epilogue::Accumulated;
        let head16 = (config.head_width() / 16) as u32;
        let normed = match config.family {
            Family::CrammedBert => NormOutput::F16,
            Family::Bert => NormOutput::Both,
        };
        let (attention_out, scale) = (&weights.attention_out, weights.score_scale);
        Ok(Self {
            hidden: config.hidden,
            norm1: LayerNorm::upload(gpu, &weights.norm1, eps, variant, normed).await?,
            qkv: CoopDense::upload(gpu, "query, key, value", &weights.qkv, plain).await?,
            attention: Attention::cooperative(gpu, config.heads, head16, scale).await?,
            attention_out: CoopDense::upload(gpu, "attention output", attention_out, added).await?,
            norm2: LayerNorm::upload(gpu, &weights.norm2, eps, variant, normed).await?,
            ffn: match &weights.ffn {
                FfnWeights::Fff(weights) => HalfFfn::Fff(
                    FffLayer::upload_with_residual(
                        gpu,
                        weights,
                        variant,
                        ACTIVATIONS,
                        Residual::Output,
                    )
                    .await?,
                ),
                FfnWeights::Dense { up, down } => HalfFfn::Dense {
                    up: CoopDense::upload(gpu, "feedforward in", up, gelu).await?,
                    down: CoopDense::upload(gpu, "feedforward out", down, added).await?,
                },
            },
        })
    }

    /// x += attention(norm1(x)); x += ffn(norm2(x)).
    pub(crate) fn record_pre_norm(
        &self,
        recording: &mut Recording<'_>,
        views: &Views<'_>,
        normed: wgpu::BufferSlice<'_>,
        x: wgpu::BufferSlice<'_>,
        index: usize,
    ) -> Result<()> {
        let gpu = recording.gpu;
        let half = Precision::F16;
        self.norm1.record(gpu, recording.pass(), x, &[normed]);
        recording.stage_stored(|| format!("layer{index}.norm1"), normed, self.hidden, half);
        self.record_attention(recording, views, normed, x, index);
        self.norm2.record(gpu, recording.pass(), x, &[normed]);
        recording.stage_stored(|| format!("layer{index}.norm2"), normed, self.hidden, half);
        self.record_ffn(recording, views, normed, x)
    }

    /// x = norm1(x + attention(x)); x = norm2(x + ffn(x)), x in f32 and in f16 alike. Ends where it began.
    pub(crate) fn record_post_norm(
        &self,
        recording: &mut Recording<'_>,
        views: &Views<'_>,
        x_half: wgpu::BufferSlice<'_>,
        [x, other]: [wgpu::BufferSlice<'_>; 2],
        index: usize,
    ) -> Result<()> {
        let gpu = recording.gpu;
        self.record_attention(recording, views, x_half, x, index);
        self.norm1.record(gpu, recording.pass(), x, &[other, x_half]);
        recording.stage(|| format!("layer{index}.norm1"), other, self.hidden);
        self.record_ffn(recording, views, x_half, other)?;
        self.norm2.record(gpu, recording.pass(), other, &[x, x_half]);
        Ok(())
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
        let Views { qkv, masked, queries, context, .. } = *views;
        self.qkv.record(gpu, pass, from, qkv);
        self.attention.record(gpu, pass, [qkv, masked, queries, context]);
        let name = || format!("layer{index}.context");
        recording.stage_stored(name, context, self.hidden, Precision::F16);
        self.attention_out.record(gpu, recording.pass(), context, to);
    }

    /// `to` += ffn(`from`).
    fn record_ffn(
        &self,
        recording: &mut Recording<'_>,
        views: &Views<'_>,
        from: wgpu::BufferSlice<'_>,
        to: wgpu::BufferSlice<'_>,
    ) -> Result<()> {
        let gpu = recording.gpu;
        match &self.ffn {
            HalfFfn::Fff(fff) => record_fff(recording, fff, from, to)?,
            HalfFfn::Dense { up, down } => {
                let neurons = views.neurons()?;
                up.record(gpu, recording.pass(), from, neurons);
                down.record(gpu, recording.pass(), neurons, to);
            }
        }
        Ok(())
    }
}
