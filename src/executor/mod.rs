//! Plans on a GPU: weights uploaded by part, kernels compiled step by step, one submit a batch.

mod encoder;
mod options;
mod parts;
mod program;
mod recording;
mod workspace;

pub(crate) use encoder::GpuEncoder;
#[cfg(feature = "text")]
pub(crate) use encoder::Running;
pub use options::EncoderOptions;
pub(crate) use parts::{DenseLayout, upload_dense};
