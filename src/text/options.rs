//! Options of how a model is loaded.

use crate::executor::EncoderOptions;
use crate::model::Pooler;

/// Options of how a model is loaded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelOptions {
    /// How the encoder is stored and run. On the CPU weights are rounded to f16 if f16 is asked
    /// for, `int8` is honoured, and a variant or f16 activations are errors.
    pub stored: EncoderOptions,
    /// The most tokens that run at once; a longer text runs alone. The CPU takes at most 2,048
    /// tokens, which are fastest there.
    pub batch_tokens: usize,
    /// The pooler of the classification head, in place of the file's.
    pub pooler: Option<Pooler>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { stored: EncoderOptions::default(), batch_tokens: 16_384, pooler: None }
    }
}

impl ModelOptions {
    /// Sets how the encoder is stored and run.
    pub fn stored(mut self, options: EncoderOptions) -> Self {
        self.stored = options;
        self
    }

    /// Sets the most tokens that run at once.
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = tokens;
        self
    }

    /// Sets the pooler of the classification head, in place of the file's.
    pub fn pooler(mut self, pooler: Pooler) -> Self {
        self.pooler = Some(pooler);
        self
    }
}
