//! An FFF layer on a device.

mod builder;
mod chunk;
mod fff_layer;
mod options;
mod overflow;
mod upload;

pub use builder::FffLayerBuilder;
pub use fff_layer::{BoundFff, FffLayer};
pub(crate) use upload::upload_fff;
