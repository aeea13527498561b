//! The reference on the CPU, which decides what is right: plain loops with f64 sums and the same
//! names and stages as the shaders; and the comparison of results with it.

mod attention;
mod bound;
mod compare;
mod dense;
mod encoder;
mod fff;
mod layer_norm;
mod pool;

pub(crate) use attention::attention;
pub use bound::{F16_ROUNDING, F32_RTOL, logit_bound};
pub use compare::{Comparison, compare, row_error};
pub(crate) use dense::dense;
pub use encoder::{EncoderOutput, encoder};
pub(crate) use fff::fff_f64;
pub use fff::{FffOutput, fff, gelu};
pub(crate) use layer_norm::layer_norm;
pub(crate) use pool::{l2_norm, pool};
