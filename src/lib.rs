#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod bench;
pub mod check;
mod checkpoint;
mod device;
mod error;
mod fff;
mod files;
#[cfg(feature = "text")]
pub mod glue;
mod gpu;
#[cfg(feature = "cpu")]
pub mod host;
pub mod model;
mod ops;
pub mod reference;
#[cfg(feature = "text")]
mod text;

pub use checkpoint::Checkpoint;
pub use device::Device;
pub use error::{Error, Result};
pub use fff::{Activations, FffLayer, FffShape, FffWeights, Forward, Schedule};
pub use files::{LONGEST_JSON, LONGEST_TEXT, LONGEST_TOKENIZER, open_file, read_file};
pub use gpu::{
    AdapterChoice, Binding, COOPERATIVE_STORAGE, Capabilities, Gpu, GpuOptions, KernelSource,
    Precision, Reduction, Timer, Variant, WeightFormat, adapter, adapters,
};
pub use ops::cooperative_kernels;
#[cfg(feature = "text")]
pub use text::{Embedded, FastBert, Filled, ModelFiles, ModelOptions, Prompts, Tokenizer, cosine};
