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
//!
//! ```
//! use cmm_index::{Build, Index, ModelId, Precision, Source};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let build = Build {
//!     model: ModelId { name: "lengths".into(), fingerprint: "1".into() },
//!     prompt: String::new(),
//!     width: 2,
//!     precision: Precision::F32,
//! };
//! let texts = vec![(1, "apple".into()), (2, "plum".into())];
//! let source = Source { file: "fruit.txt".into(), texts };
//! // A real index takes its vectors from `cmm::FastBert::embed`.
//! let embed = |texts: &[&str]| Ok(texts.iter().map(|t| vec![t.len() as f32, 1.0]).collect());
//! build.make(dir.path(), &[source], embed, |_done, _all| {})?;
//!
//! let index = Index::open(dir.path())?;
//! let hits = index.search(&[4.0, 1.0], 1)?;
//! assert_eq!((hits[0].file, hits[0].line, hits[0].text), ("fruit.txt", 2, "plum"));
//! # Ok(())
//! # }
//! ```

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
