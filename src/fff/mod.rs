//! FFF layers: their shape, their weights on the host, and the layer on a device.

mod chunk;
mod kernel;
mod layer;
mod overflow;
mod rows;
mod shape;
mod weights;

pub(crate) use kernel::Residual;
pub use kernel::{Activations, Schedule};
pub use layer::{FffLayer, Forward};
pub use shape::FffShape;
pub use weights::FffWeights;
pub(crate) use weights::transposed;
