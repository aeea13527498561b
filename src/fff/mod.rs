//! FFF layers on the host: their shape, their weights, and the place where their sums overflow.

mod form;
mod forward;
mod overflow;
mod shape;
mod weights;

pub use form::{FffForm, LeafActivation, LeafForm};
pub use forward::Forward;
pub(crate) use overflow::{Stored, first_token, overflow};
pub use shape::FffShape;
pub use weights::FffWeights;
pub(crate) use weights::transposed;
