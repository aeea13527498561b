//! Proof that a device computes the same results as the reference, in every variant. The layers are
//! golden ones from the code of the paper's authors (in the signed form from our own script) and
//! seeded random ones. The command `cmm check` prints the results of this module.

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
