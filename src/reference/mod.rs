//! The CPU truth: plain loops with f64 sums, the same names and stages as the shaders; and how results are held against it.

mod bound;
mod compare;
mod fff;

pub use bound::{F32_RTOL, logit_bound};
pub use compare::{Comparison, compare};
pub use fff::{FffOutput, fff, gelu};
