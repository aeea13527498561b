//! What the commands on whole models share: which model, on which device, how.

use std::path::Path;

use clap::Args;
use cmm::model::EncoderWeights;
use cmm::{EncoderOptions, FastBert, GpuOptions, ModelOptions, Precision, Variant};
use indicatif::{ProgressBar, ProgressStyle};

use crate::device::{DeviceChoice, device};
use crate::hub::{SHIPPED, model_folder};
use crate::output::Failure;
use crate::run::PrecisionArgument;

/// Texts between two steps of the progress bar.
const TEXTS_PER_STEP: usize = 2048;

#[derive(Args, Clone)]
pub struct ModelArguments {
    /// A model's folder, or a hub id such as sentence-transformers/all-MiniLM-L6-v2 [default: fastminilm, which comes with the source, and for
    /// classify and glue --task sst2 fastminilm-sst2; neither has a head for fill-mask]
    #[arg(long, value_name = "DIR or ID")]
    model: Option<String>,
    #[command(flatten)]
    pub how: LoadArguments,
}

/// How a model is loaded.
#[derive(Args, Clone)]
pub struct LoadArguments {
    /// Precision of the weights; sums are f32
    #[arg(long, value_enum, default_value = "f32")]
    precision: PrecisionArgument,
    /// Precision of the activations between a layer's operations; f16 runs on cooperative matrices (tensor cores), with --precision f16
    #[arg(long, value_enum, default_value = "f32")]
    activations: PrecisionArgument,
    /// Matrix products in 8-bit integers, on the CPU: faster where it has AVX-512 VNNI or AVX-VNNI, and a little less exact
    #[arg(long)]
    int8: bool,
    /// Kernel variant, such as workgroup/f32; overrides --precision [default: the best of the device]
    #[arg(long, env = "CMM_VARIANT")]
    variant: Option<Variant>,
    /// `cpu`, or a GPU: an index of `cmm devices`, a backend, a PCI bus id, or part of a name [default: the best GPU, and the CPU where there is none but in
    /// software]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// Tokens that run at once, at most; on the CPU never more than 2,048
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
        self.how.load(&model_folder(self.name())?).await
    }
}

impl LoadArguments {
    /// Loads a model's folder onto the device.
    pub async fn load(&self, folder: &Path) -> Result<FastBert, Failure> {
        let precision = match self.variant {
            Some(variant) => variant.weights.precision(),
            None => Precision::from(self.precision),
        };
        let config = EncoderWeights::open(folder)?.config().clone();
        let options = GpuOptions::default().for_encoder(&config, precision);
        // No GPU makes products in int8, so that asking for them chooses the CPU.
        let cpu = DeviceChoice::Cpu;
        let asked = self.device.as_ref().or(self.int8.then_some(&cpu));
        let device = device(asked, self.variant.is_some(), options).await?;
        let mut stored = EncoderOptions::default()
            .weights(precision)
            .activations(self.activations.into())
            .int8(self.int8);
        stored.variant = self.variant;
        let options = ModelOptions::default().stored(stored).batch_tokens(self.batch_tokens);
        Ok(FastBert::load_with(device, folder, &options).await?)
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
    items: &[I],
    mut work: impl AsyncFnMut(&[I]) -> cmm::Result<Vec<T>>,
) -> Result<Vec<T>, Failure> {
    let mut results = Vec::with_capacity(items.len());
    let progress = ProgressBar::new(items.len() as u64);
    progress.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} texts, {eta} left")?);
    for items in items.chunks(TEXTS_PER_STEP) {
        results.extend(work(items).await?);
        progress.inc(items.len() as u64);
    }
    progress.finish_and_clear();
    Ok(results)
}
