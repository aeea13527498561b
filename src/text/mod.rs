//! Text in, answers out: a tokenizer and an encoder from one model's files.

mod cosine;
mod fast_bert;
mod files;
mod folder;
mod tokenizer;

pub use cosine::cosine;
pub use fast_bert::{Embedded, FastBert, Filled, ModelOptions};
pub use folder::ModelFiles;
pub use tokenizer::Tokenizer;
