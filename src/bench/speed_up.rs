//! Ratios of the speed of conditional rows to dense ones, and which of these ratios mislead.

use crate::bench::{Computation, Measurement, Report, Unit};

/// A dense layer that reaches less than this share of its device's peaks is not a fair rival.
const WEAK: f64 = 0.05;

/// The comparison of a conditional row with the dense rows of the same workload, unit and tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeedUp {
    /// The comparison with this crate's dense layer whose weights have the same precision.
    pub same_precision: Option<Ratio>,
    /// The comparison with the fastest dense layer of any precision measured on that unit.
    pub best_dense: Ratio,
    /// The ratio that counting promises: neurons of the fastest dense layer over engaged neurons,
    /// and for whole encoders all operations of the dense one over those of this one.
    pub theoretical: f64,
}

/// How many times faster a row is than another one, and why that may mislead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The time of the dense row divided by that of the conditional one.
    pub times: f64,
    /// Whether this is more than counting promises. The dense layer then did worse than its
    /// arithmetic alone explains.
    pub above_theory: bool,
    /// Whether the dense layer reached less than a twentieth of the device's measured peaks.
    pub weak_rival: bool,
}

impl Report {
    /// Compares a conditional row with the dense rows of the same workload. Returns `None` for a
    /// dense row, for a row that failed or is broken, and if no dense row is sound.
    pub fn speed_up(&self, row: &Measurement) -> Option<SpeedUp> {
        if !row.computation.is_conditional() || !row.is_sound() {
            return None;
        }
        let beside = |other: &&Measurement| {
            !other.computation.is_conditional()
                && (&other.workload, other.unit, other.tokens)
                    == (&row.workload, row.unit, row.tokens)
                && other.is_sound()
        };
        let dense: Vec<&Measurement> = self.measurements.iter().filter(beside).collect();
        let best = fastest(dense.iter().copied())?;
        let same = fastest(dense.into_iter().filter(|other| other.precision == row.precision));
        Some(SpeedUp {
            same_precision: same.map(|other| self.ratio(row, other)),
            best_dense: self.ratio(row, best),
            theoretical: promised(row, best),
        })
    }

    fn ratio(&self, row: &Measurement, dense: &Measurement) -> Ratio {
        let times = dense.seconds.median / row.seconds.median;
        let peaks = self.peaks.filter(|_| dense.unit == Unit::Gpu);
        Ratio {
            times,
            above_theory: times > promised(row, dense),
            weak_rival: peaks.is_some_and(|peaks| dense.share_of_peak(&peaks) < WEAK),
        }
    }
}

fn fastest<'r>(rows: impl Iterator<Item = &'r Measurement>) -> Option<&'r Measurement> {
    rows.min_by(|a, b| a.seconds.median.total_cmp(&b.seconds.median))
}

/// Returns the neurons of the dense row over the neurons that a token engages in the conditional
/// one. Whole encoders share everything but their neurons, so for them it is the ratio of all
/// operations.
fn promised(row: &Measurement, dense: &Measurement) -> f64 {
    if matches!(row.computation, Computation::Encoder { .. }) {
        return dense.flops / row.flops;
    }
    dense.computation.neurons().0 as f64 / row.computation.neurons().1 as f64
}
