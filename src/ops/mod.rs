//! The operations of an encoder beside the FFF layer, each a kernel with its buffers: uploaded once, recorded into any pass.

mod attention;
mod dense;
mod dense_coop;
mod embed;
mod layer_norm;
mod matrix;
mod rows;
mod source;
mod source_coop;

pub(crate) use attention::Attention;
pub(crate) use dense::{Activation, Dense, Epilogue};
pub(crate) use dense_coop::{CoopDense, OTHER_SHAPES, SHAPES};
pub(crate) use embed::Embed;
pub(crate) use layer_norm::{LayerNorm, NormOutput};
pub(crate) use rows::{Gather, L2Norm, Pool};
pub(crate) use source::QUERIES;
pub(crate) use source::encoder_kernels;
pub use source_coop::cooperative_kernels;
pub(crate) use source_coop::{CoopShape, MAX_HEAD16, QUERIES as QUERIES_COOP};
