//! Benchmark rows of whole encoders. They compare FFF layers with dense ones; everything else is
//! the same.

use crate::bench::layers::Bench;
use crate::bench::{Check, Computation, EncoderShape, Measurement, Unit, Workload};
use crate::check::{Limits, compare_encoded};
use crate::dtype::Precision;
use crate::error::Result;
use crate::executor::{EncoderOptions, GpuEncoder};
use crate::fff::FffForm;
use crate::model::{Batch, Encoded, EncoderWeights, Ffn, Output, Tap};
use crate::reference::{self, EncoderOutput, F32_RTOL};

/// Tokens of the sequence on which every stage is compared with the f64 reference.
const CHECKED: usize = 16;

/// The limits on the error of a whole encoder, with f32 activations and with f16 ones.
const LIMITS_F32: Limits = Limits { error: 5.0 * F32_RTOL, flip: 1e-4 };
const LIMITS_HALF: Limits = Limits { error: 3e-2, flip: 3e-2 };

impl Bench<'_> {
    /// Measures a workload's encoder: a row for each feedforward layer, precision and batch size.
    pub(crate) async fn encoders(
        &self,
        shape: EncoderShape,
        emit: &mut impl FnMut(Measurement),
    ) -> Result<()> {
        for weights in random_encoders(self.workload, shape) {
            let weights = weights?;
            for precision in &self.workload.precisions {
                self.encoder(shape, &weights, *precision, emit).await?;
            }
        }
        Ok(())
    }

    async fn encoder(
        &self,
        shape: EncoderShape,
        weights: &EncoderWeights<'_>,
        precision: Precision,
        emit: &mut impl FnMut(Measurement),
    ) -> Result<()> {
        let gpu = self.gpu;
        let (config, workload) = (weights.config(), self.workload);
        // The device's fastest kind of f16; the row says which one it was.
        let halves = precision == Precision::F16
            && EncoderOptions::f16_activations(gpu.capabilities(), config);
        let activations = if halves { Precision::F16 } else { Precision::F32 };
        let options = EncoderOptions::default().weights(precision).activations(activations);
        let encoder = GpuEncoder::upload(gpu, weights, &options).await?;
        let short = Short::new(shape, weights)?;
        let got = encoder.forward(&short.batch, &Output::Hidden, Tap::Stages).await?;
        let check = short.check(weights, &got, encoder.activations());
        let computation = computation(shape, weights);
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
}

/// Returns encoders of random weights, one for each feedforward layer of a workload.
pub(crate) fn random_encoders(
    workload: &Workload,
    shape: EncoderShape,
) -> impl Iterator<Item = Result<EncoderWeights<'static>>> {
    let hidden = workload.widths().0;
    let conditional = workload.layers.iter().copied().map(Ffn::of);
    let dense = (workload.neurons > 0).then_some(Ffn::Dense { width: workload.neurons });
    conditional.chain(dense).map(move |ffn| EncoderWeights::random(shape.config(hidden, ffn), 5))
}

/// Describes what a row of an encoder computed.
pub(crate) fn computation(shape: EncoderShape, weights: &EncoderWeights<'_>) -> Computation {
    let (trees, depth, form, neurons) = match weights.config().ffn {
        Ffn::Fff { trees, depth, form } => (trees, depth, form, 0),
        Ffn::Dense { width } => (0, 0, FffForm::Published, width),
    };
    let (EncoderShape { layers, length, .. }, hidden) = (shape, weights.config().hidden);
    Computation::Encoder { layers, hidden, length, trees, depth, form, neurons }
}

/// A short sequence whose every stage is compared with the reference. The timed sequences are long.
pub(crate) struct Short {
    pub(crate) batch: Batch,
    truth: EncoderOutput,
}

impl Short {
    pub(crate) fn new(shape: EncoderShape, weights: &EncoderWeights<'_>) -> Result<Self> {
        let batch = Batch::new(weights.config(), &shape.sequences(CHECKED))?;
        let truth = reference::encoder(weights, &batch, &Output::Hidden)?;
        Ok(Self { batch, truth })
    }

    pub(crate) fn check(
        &self,
        weights: &EncoderWeights<'_>,
        got: &Encoded,
        activations: Precision,
    ) -> Check {
        let limits = match activations {
            Precision::F32 => LIMITS_F32,
            Precision::F16 => LIMITS_HALF,
        };
        let what = (&self.batch, &Output::Hidden);
        Check::of(&compare_encoded(what, weights.config(), &self.truth, got, limits))
    }
}
