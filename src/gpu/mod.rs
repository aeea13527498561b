//! The device: adapter choice and capabilities, kernels and their variants, buffers, readback, timing.

mod adapter;
mod buffer;
mod capabilities;
mod device;
mod kernel;
mod readback;
mod timer;

pub use adapter::{AdapterChoice, adapter, adapters};
pub use capabilities::{Capabilities, Precision, Reduction, Variant, WeightFormat};
pub use device::{Gpu, GpuOptions};
pub(crate) use kernel::Kernel;
pub use kernel::{Binding, KernelSource};
pub(crate) use readback::Readback;
pub use timer::Timer;
