//! The device: adapter choice and capabilities, kernels and their variants, buffers, readback, timing.

mod adapter;
mod buffer;
mod capabilities;
mod device;
mod faults;
mod kernel;
mod launch;
mod readback;
mod timer;

pub use adapter::{AdapterChoice, adapter, adapters};
pub(crate) use buffer::{Buffer, row_stride};
pub use capabilities::{
    COOPERATIVE_STORAGE, Capabilities, Precision, Reduction, Variant, WeightFormat,
};
pub use device::{Gpu, GpuOptions};
pub use kernel::{Binding, KernelSource};
pub(crate) use kernel::{Kernel, shader, spread, unrolled};
pub(crate) use launch::Launch;
pub(crate) use readback::Readback;
pub use timer::Timer;
