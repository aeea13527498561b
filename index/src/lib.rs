//! A folder with the vectors of texts. It is built step by step, replaced at once, checked when it
//! is opened, and searched exactly.
//!
//! ```text
//! manifest.json     model, width, precision, files; size and BLAKE3 hash of each file below
//! texts-HASH.bin    every text once, in UTF-8, end to end
//! ends-HASH.bin     the end of each text, u64
//! vectors-HASH.bin  [texts, width] in f32, f16 or i8
//! places-HASH.bin   the places of texts: row, file and line, each u32
//! ```
//!
//! Numbers are little-endian. The length of an i8 row does not matter, because similarities are
//! cosines.

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
pub use manifest::ModelId;
pub use precision::Precision;
