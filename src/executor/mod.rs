//! Plans on a GPU: weights are uploaded part by part, kernels are compiled step by step, and each
//! batch is one submission.

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
