#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod bench;
pub mod check;
mod checkpoint;
mod device;
mod dtype;
mod encoder;
mod error;
mod executor;
mod fff;
mod files;
#[cfg(feature = "text")]
pub mod glue;
mod gpu;
#[cfg(feature = "cpu")]
pub mod host;
mod kernels;
mod layer;
pub mod model;
mod plan;
pub mod reference;
#[cfg(feature = "text")]
mod text;

pub use checkpoint::Checkpoint;
pub use device::{Device, DeviceChoice};
pub use dtype::Precision;
pub use encoder::Encoder;
pub use error::{Error, Result};
pub use executor::EncoderOptions;
pub use fff::{FffForm, FffShape, FffWeights, Forward, LeafActivation, LeafForm};
pub use files::{LONGEST_JSON, LONGEST_TEXT, LONGEST_TOKENIZER, open_file, read_file};
pub use gpu::{
    AdapterChoice, Capabilities, Gpu, GpuOptions, PciBusId, Reduction, Timer, Variant,
    WeightFormat, adapter, adapters,
};
pub use kernels::{Activations, Schedule};
pub use layer::{BoundFff, FffLayer, FffLayerBuilder};
#[cfg(feature = "text")]
pub use text::{
    CutSide, Embedded, FastBert, Filled, ModelFiles, ModelOptions, Prompts, Token, Tokenized,
    Tokenizer, cosine, normalized,
};
/// The version of wgpu whose devices, buffers and passes this crate takes.
pub use wgpu;

/// The parts of the kernels, for tests, experiments and readers of shaders. This module changes
/// from one version to the next without notice.
pub mod low_level {
    pub use crate::gpu::{Binding, COOPERATIVE_STORAGE, Grid, KernelSource};
    pub use crate::kernels::{cooperative_kernels, kernels_of, peak_kernels};
}
