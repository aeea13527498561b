//! Proof that a device computes what the reference computes: golden layers from the paper's authors' own code, those of the signed form from a script
//! of our own, and seeded random ones, in every variant. The `cmm check` command prints what this returns.

mod case;
mod checked;
mod golden;
mod index;
mod kernels;
mod model;
mod run;
#[cfg(feature = "text")]
mod text;

pub use case::{Case, Expected};
pub use checked::Checked;
pub use golden::golden_cases;
pub use kernels::compile_kernels;
pub(crate) use model::{Limits, compare_encoded};
pub use model::{ModelCase, check_model, golden_models};
pub use run::{Outcome, check_case, check_layer, random_cases};
#[cfg(feature = "text")]
pub use text::{TextCases, check_embeddings, golden_texts};
