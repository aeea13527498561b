//! Whole encoders on the host: configuration, weights, batches, outputs and results.

mod batch;
mod config;
mod names;
mod output;
mod problem;
mod validate;
mod weight_files;
mod weights;

pub(crate) use batch::MASKED;
pub use batch::{Batch, Sequence};
pub use config::{EncoderConfig, Family, Ffn, Head, Pooler};
pub use names::{is_plain_name, is_plain_path};
pub use output::{Encoded, Output, Tap};
pub use problem::Problem;
pub use weight_files::{NEEDS_SAFETENSORS, NEEDS_TOKENIZER_JSON, base, shards, shards_in};
pub use weights::{
    DenseWeights, EmbeddingWeights, EncoderWeights, FfnWeights, HeadWeights, LayerWeights,
    NormWeights,
};
