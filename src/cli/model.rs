//! What the commands on whole models share: which model, on which device, how.

use std::str::FromStr;

use clap::Args;
use cmm::model::{EncoderConfig, EncoderWeights};
use cmm::{
    AdapterChoice, Device, Error, FastBert, Gpu, GpuOptions, ModelOptions, Precision, Variant,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Failure;
use crate::cli::hub::{SHIPPED, model_dir};
use crate::cli::run::PrecisionArgument;

/// Texts between two steps of the progress bar.
const TEXTS_PER_STEP: usize = 2048;

#[derive(Args, Clone)]
pub struct ModelArguments {
    /// A model's directory, or a hub id such as sentence-transformers/all-MiniLM-L6-v2 [default: fastminilm, which comes with the source, and for
    /// classify and glue --task sst2 fastminilm-sst2; neither has a head for fill-mask]
    #[arg(long, value_name = "DIR or ID")]
    model: Option<String>,
    /// Precision of the weights; sums are f32
    #[arg(long, value_enum, default_value = "f32")]
    precision: PrecisionArgument,
    /// Kernel variant, such as workgroup/f32; overrides --precision [default: the best of the device]
    #[arg(long, env = "CMM_VARIANT")]
    variant: Option<Variant>,
    /// `cpu`, or a GPU: an index of `cmm devices`, a backend, or part of a name [default: the best GPU, and the CPU where there is none but in
    /// software]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// Tokens that run at once
    #[arg(long, default_value_t = 16_384)]
    batch_tokens: usize,
}

impl ModelArguments {
    /// The model that is asked for.
    pub fn name(&self) -> &str {
        self.model.as_deref().unwrap_or(SHIPPED)
    }

    /// The same arguments with a model, if none is named.
    pub fn or(&self, model: &str) -> Self {
        Self { model: self.model.clone().or_else(|| Some(model.into())), ..self.clone() }
    }

    /// Fetches what is missing, and loads the model onto the device.
    pub async fn load(&self) -> Result<FastBert, Failure> {
        let dir = model_dir(self.name())?;
        let precision = match self.variant {
            Some(variant) => variant.weights.precision(),
            None => Precision::from(self.precision),
        };
        let config = EncoderWeights::open(&dir)?.config().clone();
        let device = self.device(&config, precision).await?;
        let options = ModelOptions {
            precision,
            variant: self.variant,
            batch_tokens: self.batch_tokens,
            pooler: None,
        };
        Ok(FastBert::load_with(device, &dir, &options).await?)
    }

    /// The device that is asked for; else the best GPU; else, where the only GPUs are software, the CPU, which is faster than it plays one.
    async fn device(
        &self,
        config: &EncoderConfig,
        precision: Precision,
    ) -> Result<Device, Failure> {
        let options = |adapter| {
            GpuOptions { adapter, ..GpuOptions::default() }.for_encoder(config, precision)
        };
        match &self.device {
            Some(DeviceChoice::Cpu) => Ok(Device::Host),
            Some(DeviceChoice::Gpu(choice)) => {
                Ok(Gpu::request(&options(choice.clone())).await?.into())
            }
            None if self.variant.is_some() => {
                Ok(Gpu::request(&options(AdapterChoice::Default)).await?.into())
            }
            None => match cmm::adapter(&AdapterChoice::Default).await {
                Ok(adapter) if adapter.get_info().device_type != wgpu::DeviceType::Cpu => {
                    let options = options(AdapterChoice::Default);
                    Ok(Gpu::from_adapter(&adapter, &options).await?.into())
                }
                Ok(_) | Err(Error::NoAdapter { .. }) => Ok(Device::Host),
                Err(error) => Err(error.into()),
            },
        }
    }
}

/// Where a model runs.
#[derive(Clone)]
pub enum DeviceChoice {
    Cpu,
    Gpu(AdapterChoice),
}

impl FromStr for DeviceChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text.eq_ignore_ascii_case("cpu") { Self::Cpu } else { Self::Gpu(text.parse()?) })
    }
}

/// Runs `work` on the texts, so many at a time, with a progress bar where that is more than once.
pub async fn in_steps<T>(
    texts: &[String],
    mut work: impl AsyncFnMut(&[&str]) -> cmm::Result<Vec<T>>,
) -> Result<Vec<T>, Failure> {
    let work = async |texts: &[String]| {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        work(&texts).await
    };
    items_in_steps(texts, work).await
}

/// As [`in_steps`], of anything.
pub async fn items_in_steps<I, T>(
    texts: &[I],
    mut work: impl AsyncFnMut(&[I]) -> cmm::Result<Vec<T>>,
) -> Result<Vec<T>, Failure> {
    let progress = ProgressBar::new(texts.len() as u64);
    progress.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} texts, {eta} left")?);
    let mut results = Vec::with_capacity(texts.len());
    for texts in texts.chunks(TEXTS_PER_STEP) {
        results.extend(work(texts).await?);
        progress.inc(texts.len() as u64);
    }
    progress.finish_and_clear();
    Ok(results)
}
