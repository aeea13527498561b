//! The operations of an encoder beside the FFF layer, each a kernel with its buffers: uploaded once, recorded into any pass.

mod attention;
mod dense;
mod embed;
mod layer_norm;
mod matrix;
mod rows;
mod source;

pub(crate) use attention::Attention;
pub(crate) use dense::{Activation, Dense, Epilogue};
pub(crate) use embed::Embed;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use rows::{Gather, L2Norm, Pool};
pub use source::encoder_kernels;
