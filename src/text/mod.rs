//! Models that take text: a tokenizer and an encoder from one model's files.

mod cosine;
mod fast_bert;
mod folder;
mod guarded;
mod options;
mod prompts;
mod settings;
mod tokenizer;

pub use cosine::{cosine, normalized};
pub use fast_bert::{Embedded, FastBert, Filled};
pub use folder::ModelFiles;
pub use options::ModelOptions;
pub use prompts::Prompts;
pub use tokenizer::{CutSide, Token, Tokenized, Tokenizer};
