//! The portable benchmark: how much CMM saves on a device, against a dense layer that is tuned as
//! hard.
//!
//! Every row is measured over distinct random inputs whose paths spread over the tree, and its
//! output is compared with the f64 reference in the same run. The command `cmm bench` and the
//! browser demo share this code.

#[cfg(feature = "cpu")]
mod cpu;
mod encoders;
#[cfg(feature = "charts")]
mod html;
mod layers;
mod measure;
mod peaks;
mod race;
mod report;
mod run;
mod speed_up;
mod stats;
mod table;
mod workload;

#[cfg(feature = "cpu")]
pub use cpu::run_cpu;
#[cfg(feature = "charts")]
pub use html::html;
pub use measure::{Effort, Timing};
pub use race::race;
pub use report::{Check, Computation, Machine, Measurement, Peaks, Report, SCHEMA, Unit};
pub use run::{Progress, measure_peaks, run};
pub use speed_up::{Ratio, SpeedUp};
pub use stats::Stats;
pub use table::{Compared, PAPER, compare, notes, table};
pub use workload::{EncoderShape, PRESETS, Workload};
