//! Whole encoders: configuration, weights, batches, and the encoder on a device.

mod batch;
mod config;
mod directory;
mod encoder;
mod gpu_encoder;
mod half_layer;
mod heads;
mod layer;
mod names;
mod output;
#[cfg(feature = "cpu")]
pub(crate) mod plan;
mod problem;
mod recording;
mod validate;
mod weights;
mod workspace;

pub(crate) use batch::MASKED;
pub use batch::{Batch, Sequence};
pub use config::{EncoderConfig, Family, Ffn, Head, Pooler};
#[cfg(feature = "text")]
pub(crate) use directory::base;
pub use directory::{NEEDS_SAFETENSORS, NEEDS_TOKENIZER_JSON, shards, shards_in};
pub use encoder::Encoder;
pub(crate) use gpu_encoder::GpuEncoder;
pub use names::{is_plain_name, is_plain_path};
pub use output::{Encoded, Output, Tap};
pub use problem::Problem;
pub use weights::{
    DenseWeights, EmbeddingWeights, EncoderWeights, FfnWeights, HeadWeights, LayerWeights,
    NormWeights,
};
