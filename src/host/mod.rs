//! The host as a device. It runs FFF layers in f32, and whole encoders in f32 or with products in
//! 8-bit integers. The code is vectorised and uses the threads of the caller's rayon pool.
//!
//! It is the fast twin of [`reference`](crate::reference), with which its results are compared.

mod attention;
mod dense;
mod encoder;
mod exp;
mod fff;
mod int8;
mod leaf;
mod rows;
mod sums;

pub(crate) use dense::dense;
pub(crate) use encoder::{HostEncoder, MAX_ROWS, MAX_TOKENS};
pub use fff::{fff, fff_allowing_overflow};
pub(crate) use fff::{fff_into, roundings};
