//! The portable benchmark: how much CMM saves on a device, against a dense layer that is tuned as
//! hard.
//!
//! Every row is measured over distinct random inputs whose paths spread over the tree, and its
//! output is compared with the f64 reference in the same run. The command `cmm bench` and the
//! browser demo share this code.
//!
//! ```no_run
//! use cmm::bench::{Effort, Machine, Report, Workload, run, table};
//! use cmm::{Gpu, GpuOptions};
//!
//! # async fn example() -> Result<(), cmm::Error> {
//! let workload = Workload::preset("bert-base", true)?;
//! let options = GpuOptions::default().largest_buffer(workload.largest_buffer());
//! let gpu = Gpu::request(&options).await?;
//! let mut report = Report::new(Machine::of(&gpu, 1), "an example".into());
//! run(&gpu, &workload, Effort::QUICK, &mut report, &mut |_| {}).await?;
//! for row in table(&report) {
//!     println!("{}", row.join("  "));
//! }
//! # Ok(())
//! # }
//! ```

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
