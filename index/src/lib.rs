//! A folder with the vectors of texts: built step by step, replaced at once, checked when it is opened, searched exactly.
//!
//! ```text
//! manifest.json        what the index is of: model, width, precision, files, and size and BLAKE3 of each of these:
//! texts-HASH.bin       every text once, UTF-8, end to end
//! ends-HASH.bin        where each text ends: u64
//! vectors-HASH.bin     [texts, width], f32, f16 or i8
//! places-HASH.bin      where texts stand: row, file, line, each u32
//! ```
//! Numbers are little-endian. Lengths of rows of i8 do not matter: a similarity is a cosine.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod build;
mod dot;
mod error;
mod files;
mod fingerprint;
mod index;
mod manifest;
mod precision;
mod vectors;

pub use build::{Build, Built, Source};
pub use error::{Error, Result};
pub use fingerprint::fingerprint;
pub use index::{Hit, Index};
pub use manifest::{ModelId, is_index};
pub use precision::Precision;
