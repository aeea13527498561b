//! Plans on a GPU: weights uploaded by part, kernels compiled step by step, one submit a batch.

mod encoder;
mod parts;
mod program;
mod recording;
mod workspace;

pub(crate) use encoder::GpuEncoder;
pub(crate) use parts::upload_dense;
