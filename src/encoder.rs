//! An encoder on any device.

use crate::dtype::Precision;
#[cfg(any(doc, all(feature = "cpu", feature = "text")))]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "text")]
use crate::executor;
use crate::executor::{EncoderOptions, GpuEncoder};
use crate::gpu::{Gpu, Variant};
#[cfg(feature = "cpu")]
use crate::host::HostEncoder;
use crate::model::{Batch, Encoded, EncoderConfig, EncoderWeights, Output, Sequence, Tap};

/// An encoder on a GPU, or on the host's threads.
///
/// ```no_run
/// # async fn example() -> cmm::Result<()> {
/// use cmm::model::{EncoderWeights, Output, Tap};
///
/// let weights = EncoderWeights::open("models/fastminilm")?;
/// let encoder = cmm::Encoder::on_host(&weights)?;
/// let tokenizer = cmm::Tokenizer::open("models/fastminilm".as_ref(), encoder.max_tokens())?;
/// let batch = encoder.batch(&[tokenizer.encode("A man is playing a flute.", None)?])?;
/// let hidden = encoder.forward(&batch, &Output::Hidden, Tap::None).await?;
/// println!("{} values for each token", hidden.width);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Gpu(Box<GpuEncoder>),
    #[cfg(feature = "cpu")]
    Host(Box<HostEncoder>),
}

/// A batch that was handed to an encoder.
#[cfg(feature = "text")]
pub(crate) enum Running {
    /// The device computes it.
    Gpu(Box<executor::Running>),
    /// Nothing computes the batch yet: the host's threads compute it when it is waited for.
    #[cfg(feature = "cpu")]
    Host { batch: Batch, output: Output, tap: Tap },
}

impl Encoder {
    /// Uploads an encoder to a GPU, one layer at a time.
    ///
    /// # Errors
    /// Returns errors of the checkpoint; [`Error::Input`] if the options ask for products in int8,
    /// which no GPU computes; [`Error::Unsupported`] if the device lacks what the options ask for;
    /// [`Error::TooLarge`], [`Error::OutOfMemory`] or [`Error::DeviceLost`].
    pub async fn upload(
        gpu: &Gpu,
        weights: &EncoderWeights<'_>,
        options: &EncoderOptions,
    ) -> Result<Self> {
        let encoder = GpuEncoder::upload(gpu, weights, options).await?;
        Ok(Self { config: encoder.config().clone(), engine: Engine::Gpu(Box::new(encoder)) })
    }

    /// Reads an encoder for the host's threads, in f32. It runs on the rayon pool of the calling
    /// thread.
    ///
    /// # Errors
    /// Returns errors of the checkpoint.
    #[cfg(feature = "cpu")]
    pub fn on_host(weights: &EncoderWeights<'_>) -> Result<Self> {
        Self::read_on_host(weights, false)
    }

    /// Reads an encoder for the host's threads, with products in 8-bit integers. That is faster on
    /// processors with AVX-512 VNNI or AVX-VNNI, perhaps slower on others, and a little less exact.
    /// Weights have a scale for each output, activations have one for each token. The projections
    /// of attention, dense feedforward layers and the leaves of the leaf form are computed so. FFF
    /// layers of the other forms, decisions, norms, attention itself and heads stay f32.
    ///
    /// # Errors
    /// Returns the errors of [`Encoder::on_host`].
    #[cfg(feature = "cpu")]
    pub fn on_host_in_int8(weights: &EncoderWeights<'_>) -> Result<Self> {
        Self::read_on_host(weights, true)
    }

    #[cfg(feature = "cpu")]
    fn read_on_host(weights: &EncoderWeights<'_>, in_int8: bool) -> Result<Self> {
        let encoder = HostEncoder::read(weights, in_int8)?;
        Ok(Self { config: weights.config().clone(), engine: Engine::Host(Box::new(encoder)) })
    }

    /// Returns the GPU that holds the encoder, or `None` if it runs on the host.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.on_gpu().map(GpuEncoder::gpu)
    }

    fn on_gpu(&self) -> Option<&GpuEncoder> {
        match &self.engine {
            Engine::Gpu(encoder) => Some(encoder),
            #[cfg(feature = "cpu")]
            Engine::Host(_) => None,
        }
    }

    /// Lays sequences out for [`Encoder::forward`].
    ///
    /// # Errors
    /// Returns the errors of [`Batch::new`].
    pub fn batch(&self, sequences: &[Sequence]) -> Result<Batch> {
        Batch::new(&self.config, sequences)
    }

    /// Returns the encoder's configuration.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Returns the variant of the kernels that run, or `None` on the host.
    pub fn variant(&self) -> Option<Variant> {
        self.on_gpu().map(GpuEncoder::variant)
    }

    /// Returns how activations are stored between a layer's operations.
    pub fn activations(&self) -> Precision {
        self.on_gpu().map_or(Precision::F32, GpuEncoder::activations)
    }

    /// Returns the number of tokens that a batch may have.
    pub fn max_tokens(&self) -> usize {
        match &self.engine {
            Engine::Gpu(encoder) => encoder.max_tokens(),
            #[cfg(feature = "cpu")]
            Engine::Host(_) => crate::host::MAX_TOKENS,
        }
    }

    /// Returns how many tokens of texts are gathered before they run. More tokens are slower on the
    /// host, because its caches then hold no activations.
    #[cfg(feature = "text")]
    pub(crate) fn best_tokens(&self) -> usize {
        match &self.engine {
            Engine::Gpu(encoder) => encoder.max_tokens(),
            #[cfg(feature = "cpu")]
            // The fastest of 512 to 16,384 tokens, by 5 to 15 % over the largest batch.
            Engine::Host(_) => 2048,
        }
    }

    /// Returns the number of rows of [`Output::Tokens`] that one forward may ask for.
    pub fn max_rows(&self) -> usize {
        match &self.engine {
            Engine::Gpu(encoder) => encoder.max_rows(),
            #[cfg(feature = "cpu")]
            Engine::Host(_) => crate::host::MAX_ROWS,
        }
    }

    /// Runs a batch and returns the result, with the stages or paths that `tap` asks for. On a GPU
    /// this is a single submission, followed by the readback.
    ///
    /// # Errors
    /// Returns [`Error::MissingHead`] if the checkpoint has no such head; [`Error::Input`] if a row
    /// is not in the batch, or if the batch was laid out for a model with larger tables;
    /// [`Error::TooLarge`] (on the host [`Error::Input`]) if the batch has more than
    /// [`Encoder::max_tokens`]; [`Error::Value`] if sums overflow; [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`] or [`Error::Gpu`].
    pub async fn forward(&self, batch: &Batch, output: &Output, tap: Tap) -> Result<Encoded> {
        match &self.engine {
            Engine::Gpu(encoder) => encoder.forward(batch, output, tap).await,
            #[cfg(feature = "cpu")]
            Engine::Host(encoder) => encoder.forward(batch, output, tap),
        }
    }

    /// Hands a batch to the device. The device computes it while the host prepares the next batch
    /// or reads the previous one.
    ///
    /// # Errors
    /// Returns the errors of [`Encoder::forward`].
    #[cfg(feature = "text")]
    pub(crate) async fn begin(&self, batch: Batch, output: &Output, tap: Tap) -> Result<Running> {
        match &self.engine {
            Engine::Gpu(encoder) => {
                Ok(Running::Gpu(Box::new(encoder.submit(&batch, output, tap).await?)))
            }
            #[cfg(feature = "cpu")]
            Engine::Host(_) => Ok(Running::Host { batch, output: output.clone(), tap }),
        }
    }

    /// Waits for a batch that [`Encoder::begin`] of this encoder returned.
    ///
    /// # Errors
    /// Returns the errors of [`Encoder::forward`].
    #[cfg(feature = "text")]
    pub(crate) async fn finish(&self, running: Running) -> Result<Encoded> {
        match (&self.engine, running) {
            (Engine::Gpu(encoder), Running::Gpu(running)) => encoder.finish(*running).await,
            #[cfg(feature = "cpu")]
            (Engine::Host(encoder), Running::Host { batch, output, tap }) => {
                encoder.forward(&batch, &output, tap)
            }
            #[cfg(feature = "cpu")]
            _ => Err(Error::input(
                "a batch",
                "one that this encoder began",
                "one of another encoder",
            )),
        }
    }
}
