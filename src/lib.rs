//! Conditional matrix multiplication (CMM) and fast feedforward (FFF) layers on any GPU, through
//! wgpu, and on the CPU. The crate runs single FFF layers and whole FastBERT encoders, and compares
//! its results with a reference in f64.
//!
//! A token that enters an FFF layer walks down a tree and engages only the neurons on its path: 12
//! of 4,095 in a tree of depth 11. The names follow the papers
//! [arXiv 2311.10770](https://arxiv.org/abs/2311.10770) and
//! [arXiv 2308.14711](https://arxiv.org/abs/2308.14711).
//!
//! # A layer on the GPU
//!
//! ```
//! use cmm::{FffLayer, FffShape, FffWeights, Gpu, GpuOptions, Precision, reference};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let gpu = Gpu::request(&GpuOptions::default()).await?; // the best adapter
//! let shape = FffShape::new(768, 1, 11)?; // width, trees K, depth D
//! let weights = FffWeights::random(shape, 42); // or FffWeights::from_safetensors(...)
//! let layer = FffLayer::upload(&gpu, &weights, Precision::F32).await?;
//!
//! let x = vec![0.5; 3 * 768]; // [tokens, width]
//! let y = layer.forward(&x).await?; // [tokens, width]
//! let result = layer.forward_with_path(&x).await?; // the same, and the path of each token
//!
//! let truth = reference::fff(&weights, &x)?; // the same in f64
//! let comparison =
//!     reference::compare(shape, &truth, &result.y, &result.path, layer.roundings())?;
//! assert!(comparison.passed());
//! # Ok(())
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     match pollster::block_on(example()) {
//! #         Err(error)
//! #             if matches!(error.downcast_ref(), Some(cmm::Error::NoAdapter { .. }))
//! #                 && std::env::var_os("CMM_REQUIRE_GPU").is_none() =>
//! #         {
//! #             eprintln!("SKIPPED: {error}");
//! #             Ok(())
//! #         }
//! #         result => result,
//! #     }
//! # }
//! ```
//!
//! # A model
//!
//! ```no_run
//! # async fn example() -> cmm::Result<()> {
//! # let gpu = cmm::Gpu::request(&cmm::GpuOptions::default()).await?;
//! let model = cmm::FastBert::load(gpu, "models/fastminilm").await?;
//! let vectors = model.embed(&["A man is playing a flute."]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The library is async and brings no executor: the example programs use `pollster`. It compiles for
//! wasm32, where it runs on WebGPU; with the feature `text`, a program for wasm32 also depends on
//! getrandom 0.3 with its feature `wasm_js`, and sets the flag that getrandom asks for.
//!
//! # Where to look
//!
//! | For | see |
//! |---|---|
//! | texts in, vectors, classes or filled masks out | [`FastBert`], [`Tokenizer`], [`ModelOptions`] |
//! | an FFF layer on a GPU, alone or in a compute pass of your own | [`FffLayer`], [`FffLayerBuilder`] |
//! | a layer's sizes, form and weights | [`FffShape`], [`FffForm`], [`FffWeights`], [`Checkpoint`] |
//! | a whole encoder on token ids | [`Encoder`], [`EncoderOptions`], [`model`] |
//! | the choice of a device | [`Device`], [`DeviceChoice`], [`Gpu`], [`GpuOptions`], [`adapters`] |
//! | layers on the host's threads | [`host`] |
//! | what is right, and whether a result agrees with it | [`mod@reference`] |
//! | checks of every kernel variant on a device | [`check`] |
//! | what CMM saves on a device | [`mod@bench`] |
//! | the files and metrics of the GLUE tasks | [`glue`] |
//! | errors | [`Error`] |
//! | the WGSL sources of the kernels | [`low_level`] |
//!
//! # Features
//!
//! - `cpu` (default): FFF layers and whole encoders on the host's threads ([`host`],
//!   [`Device::Host`]).
//! - `text` (default): tokenizers, and with them [`FastBert`] and [`glue`].
//! - `charts`: benchmark reports as pages with charts (`bench::html`).
//!
//! # More
//!
//! The repository's README introduces the command `cmm`, the server, the Python package and the
//! browser package. Its folder `docs` has pages about them and the measurements (`kernels.md`);
//! `examples` has whole programs, of which `quickstart.rs` is the shortest and
//! `custom_pass.rs` records a layer between two other kernels in one compute pass.

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
