//! Text in, answers out: a tokenizer and an encoder from one model directory.

mod fast_bert;
mod files;
mod tokenizer;

pub use fast_bert::{FastBert, Filled, ModelOptions};
pub use tokenizer::Tokenizer;
