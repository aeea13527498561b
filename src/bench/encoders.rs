//! Rows of whole encoders: FFF layers against dense ones, everything else the same.

use crate::bench::layers::Bench;
use crate::bench::{Check, Computation, EncoderShape, Measurement, Unit};
use crate::check::{Limits, compare_encoded};
use crate::dtype::Precision;
use crate::error::Result;
use crate::executor::{EncoderOptions, GpuEncoder};
use crate::model::{Batch, EncoderWeights, Ffn, Output, Tap};
use crate::reference::{self, F32_RTOL};

/// Tokens of the sequence on which every stage is held against the f64 reference.
const CHECKED: usize = 16;

/// What weights in f16 add to an error over a whole encoder, and activations in f16.
const LIMITS_F32: Limits = Limits { error: 5.0 * F32_RTOL, flip: 1e-4 };
const LIMITS_HALF: Limits = Limits { error: 3e-2, flip: 3e-2 };

impl Bench<'_> {
    /// Rows of a workload's encoder: each feedforward layer, each precision, each batch size.
    pub(crate) async fn encoders(
        &self,
        shape: EncoderShape,
        emit: &mut impl FnMut(Measurement),
    ) -> Result<()> {
        let workload = self.workload;
        let hidden = workload.widths().0;
        let conditional = workload.layers.iter().map(|layer| {
            let (trees, depth) = (layer.trees(), layer.depth());
            Ffn::Fff { trees, depth }
        });
        let dense = (workload.neurons > 0).then_some(Ffn::Dense { width: workload.neurons });
        for ffn in conditional.chain(dense) {
            let weights = EncoderWeights::random(shape.config(hidden, ffn), 5)?;
            for precision in &workload.precisions {
                self.encoder(shape, ffn, &weights, *precision, emit).await?;
            }
        }
        Ok(())
    }

    async fn encoder(
        &self,
        shape: EncoderShape,
        ffn: Ffn,
        weights: &EncoderWeights<'_>,
        precision: Precision,
        emit: &mut impl FnMut(Measurement),
    ) -> Result<()> {
        let gpu = self.gpu;
        let (config, workload) = (weights.config(), self.workload);
        // The fastest that the device has, and the row says which.
        let halves = precision == Precision::F16
            && EncoderOptions::f16_activations(gpu.capabilities(), config);
        let activations = if halves { Precision::F16 } else { Precision::F32 };
        let options = EncoderOptions::default().weights(precision).activations(activations);
        let encoder = GpuEncoder::upload(gpu, weights, &options).await?;
        let check = self.check_encoder(shape, weights, &encoder).await?;
        let (trees, depth, neurons) = match ffn {
            Ffn::Fff { trees, depth } => (trees, depth, 0),
            Ffn::Dense { width } => (0, 0, width),
        };
        let EncoderShape { layers, length, .. } = shape;
        let computation =
            Computation::Encoder { layers, hidden: config.hidden, length, trees, depth, neurons };
        let mut kernel = encoder.variant().to_string();
        if activations == Precision::F16 {
            kernel.push_str(", cooperative/f16");
        }
        for tokens in &workload.tokens {
            let batch = Batch::new(config, &shape.sequences(*tokens))?;
            let workspace = encoder.prepare(&batch).await?;
            let times = self
                .watch
                .measure(gpu, self.effort, |pass, _| encoder.record_into(pass, &workspace))
                .await?;
            emit(Measurement {
                workload: workload.name.clone(),
                unit: Unit::Gpu,
                computation,
                kernel: kernel.clone(),
                precision,
                activations,
                tokens: *tokens,
                timing: times.timing,
                seconds: times.seconds,
                wall: times.wall,
                runs: times.dispatches,
                flops: computation.flops(*tokens),
                bytes: computation.bytes(*tokens, [precision, activations]),
                leaves: None,
                check,
            });
        }
        Ok(())
    }

    /// Every stage of one short sequence, which runs beside a long one.
    async fn check_encoder(
        &self,
        shape: EncoderShape,
        weights: &EncoderWeights<'_>,
        encoder: &GpuEncoder,
    ) -> Result<Check> {
        let config = weights.config();
        let limits = match encoder.activations() {
            Precision::F32 => LIMITS_F32,
            Precision::F16 => LIMITS_HALF,
        };
        let batch = Batch::new(config, &shape.sequences(CHECKED))?;
        let truth = reference::encoder(weights, &batch, &Output::Hidden)?;
        let got = encoder.forward(&batch, &Output::Hidden, Tap::Stages).await?;
        let compared = compare_encoded((&batch, &Output::Hidden), config, &truth, &got, limits);
        Ok(Check::of(&compared))
    }
}
