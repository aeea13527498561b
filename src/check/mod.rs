//! Proof that a device computes what the reference computes: golden layers from the paper's authors' own code and seeded random ones,
//! in every variant. The `cmm check` command prints what this returns.

mod case;
mod golden;
mod index;
mod kernels;
mod model;
mod run;
#[cfg(feature = "text")]
mod text;

pub use case::{Case, Expected};
pub use golden::golden_cases;
pub use kernels::compile_kernels;
#[cfg(feature = "cpu")]
pub use model::check_model_host;
pub(crate) use model::{Limits, compare_encoded};
pub use model::{ModelCase, check_model, check_model_half, check_model_reference, golden_models};
#[cfg(feature = "cpu")]
pub use run::check_host;
pub use run::{Outcome, check_layer, check_reference, check_variant, random_cases};
#[cfg(feature = "text")]
pub use text::{TextCases, check_embeddings, golden_texts};
