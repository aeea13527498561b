//! Proof that a device computes what the reference computes: golden layers from the paper's authors' own code and seeded random ones,
//! in every variant. The `cmm check` command prints what this returns.

mod case;
mod golden;
mod run;

pub use case::{Case, Expected};
pub use golden::golden_cases;
pub use run::{Outcome, check_layer, check_reference, check_variant, random_cases};
