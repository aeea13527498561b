//! The device: choice of the adapter, capabilities, kernels, operations, buffers, readback, timing.

mod adapter;
mod buffer;
mod capabilities;
mod compile;
mod device;
mod faults;
mod grid;
mod kernel;
mod matrix;
mod operation;
mod pci;
mod readback;
mod source;
mod timer;

pub use adapter::{AdapterChoice, adapter, adapters};
pub(crate) use buffer::Buffer;
pub use capabilities::{COOPERATIVE_STORAGE, Capabilities, Reduction, Variant, WeightFormat};
pub use device::{Gpu, GpuOptions};
pub use grid::Grid;
pub(crate) use kernel::Kernel;
pub(crate) use matrix::{unpacked, upload_blocks, upload_matrix, upload_vector};
pub(crate) use operation::{Bound, Buffers, Candidate, Dispatch, Operation, Place, Scratch, Stage};
pub use pci::PciBusId;
pub(crate) use readback::Readback;
pub use source::{Binding, KernelSource};
pub(crate) use source::{KernelDef, shader};
pub use timer::Timer;
