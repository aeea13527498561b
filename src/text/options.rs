//! How a model is loaded.

use crate::executor::EncoderOptions;
use crate::model::Pooler;

/// How a model is loaded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelOptions {
    /// How it is stored and run. On the CPU f16 weights are only rounded to, `int8` is honoured, and a variant and f16 activations are
    /// errors.
    pub stored: EncoderOptions,
    /// Tokens that run at once, at most, and on the CPU never more than 2,048, which are fastest; a longer text runs alone.
    pub batch_tokens: usize,
    /// A pooler for the classification head instead of the file's.
    pub pooler: Option<Pooler>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { stored: EncoderOptions::default(), batch_tokens: 16_384, pooler: None }
    }
}

impl ModelOptions {
    /// Stored and run so.
    pub fn stored(mut self, options: EncoderOptions) -> Self {
        self.stored = options;
        self
    }

    /// With so many tokens at once, at most.
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = tokens;
        self
    }

    /// With another pooler for the classification head than the file's.
    pub fn pooler(mut self, pooler: Pooler) -> Self {
        self.pooler = Some(pooler);
        self
    }
}
