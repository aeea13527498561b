//! The arguments that all commands on whole models share: which model, on which device, and how.

mod fetch;
mod folder;
mod hub;
mod hub_cache;
mod hub_client;
mod settings;
mod shipped;
mod steps;
mod transfer;

use std::path::Path;

use clap::{Args, ValueHint};
use cmm::model::EncoderWeights;
use cmm::{EncoderOptions, FastBert, GpuOptions, ModelOptions, Precision, Variant};

use crate::device::{DeviceChoice, device};
use crate::help::{DEVICE, MODEL};
use crate::output::Failure;
use crate::run::PrecisionArgument;

pub use folder::{model_folder, named_folder};
pub use shipped::{SHIPPED, SHIPPED_CLASSIFIER};
pub use steps::{in_steps, items_in_steps};

#[derive(Args, Clone)]
pub struct ModelArguments {
    /// The model: a folder or a hub id [default: one that comes with cmm]
    ///
    /// A hub id such as sentence-transformers/all-MiniLM-L6-v2 is fetched into the hub's cache the first time. The default is fastminilm; for `cmm
    /// classify` and `cmm glue --task sst2` it is fastminilm-sst2, which has a head for reviews. Both are looked for in models/ of the working folder,
    /// in models/ beside the program and in the folders above it, and in the cache; if CMM_MODEL_URL is set, they are fetched from there once.
    #[arg(short, long, value_name = "MODEL", value_hint = ValueHint::AnyPath, help_heading = MODEL)]
    model: Option<String>,
    #[command(flatten)]
    pub how: LoadArguments,
}

/// How a model is loaded.
#[derive(Args, Clone)]
pub struct LoadArguments {
    /// The device: cpu, or a GPU that `cmm devices` lists [default: the best]
    ///
    /// A GPU is named by its index in `cmm devices`, its backend (vulkan, metal, dx12 or gl), its PCI bus id, or a part of its name. The default is
    /// the best GPU; where there is none, or only one in software, it is the CPU.
    #[arg(long, value_name = "DEVICE", help_heading = DEVICE)]
    device: Option<DeviceChoice>,
    /// The precision of the weights
    ///
    /// Sums are in f32 with either precision.
    #[arg(long, value_enum, default_value = "f32", help_heading = DEVICE)]
    precision: PrecisionArgument,
    /// The precision of the activations between operations
    ///
    /// With --precision f16 as well, f16 runs on cooperative matrices (tensor cores) where the GPU has them.
    #[arg(long, value_name = "PRECISION", value_enum, default_value = "f32", help_heading = DEVICE)]
    activations: PrecisionArgument,
    /// Multiply matrices in 8-bit integers, on the CPU
    ///
    /// This is faster where the processor has AVX-512 VNNI or AVX-VNNI, and a little less exact.
    #[arg(long, help_heading = DEVICE)]
    int8: bool,
    /// The kernel variant, such as workgroup/f32 [default: the best of the device]
    ///
    /// A variant has a precision of its own, which comes before --precision.
    #[arg(long, env = "CMM_VARIANT", hide_env_values = true, help_heading = DEVICE)]
    variant: Option<Variant>,
    /// The most tokens that run at once
    ///
    /// The CPU never runs more than 2,048 at once.
    #[arg(long, value_name = "TOKENS", default_value_t = 16_384, help_heading = DEVICE)]
    batch_tokens: usize,
}

impl ModelArguments {
    /// Whether a model is named.
    pub fn is_named(&self) -> bool {
        self.model.is_some()
    }

    /// The name of the model that is asked for.
    pub fn name(&self) -> &str {
        self.model.as_deref().unwrap_or(SHIPPED)
    }

    /// The same arguments with this model if none is named.
    pub fn or(&self, model: &str) -> Self {
        Self { model: self.model.clone().or_else(|| Some(model.into())), ..self.clone() }
    }

    /// Fetches the files that are missing, and loads the model onto the device.
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
        // No GPU multiplies in int8, so that asking for it chooses the CPU.
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
