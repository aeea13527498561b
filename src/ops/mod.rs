//! The operations of an encoder beside the FFF layer, each a kernel with its buffers: uploaded once, recorded into any pass.

mod attention;
mod dense;
mod dense_coop;
mod embed;
mod layer_norm;
mod matrix;
mod rows;
mod source;

pub(crate) use attention::Attention;
pub(crate) use dense::{Activation, Dense, Epilogue};
pub(crate) use dense_coop::CoopDense;
pub(crate) use embed::Embed;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use rows::{Gather, L2Norm, Pool};
pub use source::{dense_coop_kernel, encoder_kernels};
