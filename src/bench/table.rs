//! The rows of a report as a table; the caller prints it as text, Markdown or CSV.

use crate::bench::{Measurement, Peaks, Ratio, Report, SpeedUp, Timing, Unit};
use crate::dtype::Precision;

/// The mark of a ratio that is above what counting promises.
const ABOVE_THEORY: char = '!';
/// The mark of a ratio to a dense layer that runs badly on the device.
const WEAK_RIVAL: char = '*';

/// Returns the header and the rows. Times are in microseconds; `vs same` and `vs best` say how many
/// times faster a row is than a dense layer, see [`SpeedUp`](crate::bench::SpeedUp). [`notes`]
/// explains the marks that a ratio may bear.
pub fn table(report: &Report) -> Vec<Vec<String>> {
    let header = [
        "workload",
        "on",
        "layer",
        "kernel",
        "tokens",
        "us median",
        "min",
        "max",
        "sd",
        "n",
        "wall us",
        "tokens/s",
        "GFLOP/s",
        "% peak",
        "leaves",
        "vs same",
        "vs best",
        "theory",
        "check",
    ];
    let mut rows = vec![header.map(String::from).to_vec()];
    for row in &report.measurements {
        let us = |seconds: f64| short(seconds * 1e6);
        let speed_up = report.speed_up(row);
        let ratio = |ratio: Option<Ratio>| ratio.map_or(String::new(), marked);
        let peak = match (row.unit, &report.peaks) {
            (Unit::Gpu, Some(peaks)) => short(100.0 * row.share_of_peak(peaks)),
            _ => String::new(),
        };
        let error = row.check.error.map_or("not finite".into(), |e| format!("{e:.0e}"));
        rows.push(vec![
            row.workload.clone(),
            match (row.unit, row.timing) {
                (Unit::Gpu, Timing::Timestamps) => "GPU".into(),
                (Unit::Gpu, Timing::Wall) => "GPU, host clock".into(),
                (Unit::Cpu, _) => "CPU".into(),
            },
            row.computation.to_string(),
            row.kernel.clone(),
            row.tokens.to_string(),
            us(row.seconds.median),
            us(row.seconds.min),
            us(row.seconds.max),
            us(row.seconds.sd),
            row.seconds.n.to_string(),
            us(row.wall.median),
            short(row.rate()),
            short(row.flops / row.seconds.median * 1e-9),
            peak,
            row.leaves.map_or(String::new(), |leaves| leaves.to_string()),
            ratio(speed_up.and_then(|s| s.same_precision)),
            ratio(speed_up.map(|s| s.best_dense)),
            speed_up.map_or(String::new(), |s| format!("{}x", short(s.theoretical))),
            match (row.broken(), row.check.passed) {
                (Some(why), _) => format!("BROKEN: {why}"),
                (None, true) => format!("pass {error}"),
                (None, false) => format!("FAIL {error}"),
            },
        ]);
    }
    rows
}

fn marked(ratio: Ratio) -> String {
    let mut text = format!("{}x", short(ratio.times));
    text.extend(ratio.above_theory.then_some(ABOVE_THEORY));
    text.extend(ratio.weak_rival.then_some(WEAK_RIVAL));
    text
}

/// Returns sentences to be read with the ratios of a [`table`]: the meaning of the marks that occur,
/// and a warning if a software adapter was measured.
pub fn notes(report: &Report) -> Vec<String> {
    let ratios = |s: SpeedUp| s.same_precision.into_iter().chain([s.best_dense]);
    let ratios: Vec<Ratio> = report
        .measurements
        .iter()
        .filter_map(|row| report.speed_up(row))
        .flat_map(ratios)
        .collect();
    let mut notes = Vec::new();
    if report.is_software() && !ratios.is_empty() {
        let adapter = &report.machine.adapter;
        notes
            .push(format!("{adapter} is a program on the CPU: its ratios say nothing about GPUs."));
    }
    if ratios.iter().any(|ratio| ratio.above_theory) {
        notes.push(format!(
            "{ABOVE_THEORY} The ratio is above what counting neurons or operations promises, so it also shows how badly the dense rival runs here."
        ));
    }
    if ratios.iter().any(|ratio| ratio.weak_rival) {
        notes.push(format!(
            "{WEAK_RIVAL} The dense rival reaches less than 5 % of what this device was measured to reach: do not take the ratio for a gain."
        ));
    }
    let on_cpu = |row: &Measurement| row.unit == Unit::Cpu && report.speed_up(row).is_some();
    if report.measurements.iter().any(on_cpu) {
        notes.push(format!(
            "The CPU's peaks are not measured, so that no ratio of a row on the CPU bears {WEAK_RIVAL}: its GFLOP/s show how well the dense rival runs."
        ));
    }
    let above = |row: &Measurement, peaks: &Peaks| {
        row.unit == Unit::Gpu && row.is_sound() && row.share_of_peak(peaks) > 1.0
    };
    if report.peaks.is_some_and(|peaks| report.measurements.iter().any(|row| above(row, &peaks))) {
        notes.push(
            "% peak counts plain arithmetic and memory: above 100 matrix units or caches did the work.".into(),
        );
    }
    notes
}

/// Formats a value with three significant digits.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => "-".into(),
        v if v >= 1e6 => format!("{value:.3e}"),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.1e}"),
    }
}

/// The paper's measurements of one feedforward layer of BERT-base (table 2), to be read beside
/// ours: the implementation, and its speed-up over the dense layer in the same primitive.
pub const PAPER: [(&str, f64); 5] = [
    ("theoretical, 4095/12", 341.25),
    ("CPU, level 2 BLAS", 255.0),
    ("CPU, against its fastest dense layer", 78.0),
    ("GPU, naive CUDA kernel", 117.83),
    ("GPU, PyTorch batched matmul", 39.45),
];

/// A row of one report beside the same row of another.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The workload, layer, precision and number of tokens.
    pub what: String,
    /// Seconds in the first and in the second report.
    pub seconds: [f64; 2],
    /// Whether the ranges of the two rows' samples do not touch, so that the difference is more
    /// than noise.
    pub beyond_noise: bool,
}

/// Compares the rows that two reports have in common, by workload, unit, layer, precision and
/// tokens. Failed and broken rows are left out.
pub fn compare(a: &Report, b: &Report) -> Vec<Compared> {
    let mut compared = Vec::new();
    for row in a.measurements.iter().filter(|row| row.is_sound()) {
        let same = b.measurements.iter().find(|other| {
            (&other.workload, other.unit, other.computation)
                == (&row.workload, row.unit, row.computation)
                && (other.precision, other.activations, other.tokens)
                    == (row.precision, row.activations, row.tokens)
                && other.is_sound()
        });
        let Some(other) = same else { continue };
        let (x, y) = (&row.seconds, &other.seconds);
        compared.push(Compared {
            what: format!(
                "{} {} {} {:?}{} {} tokens",
                row.workload,
                if row.unit == Unit::Gpu { "GPU" } else { "CPU" },
                row.computation,
                row.precision,
                if row.activations == Precision::F16 { ", f16 x and y" } else { "" },
                row.tokens
            ),
            seconds: [x.median, y.median],
            beyond_noise: x.max < y.min || y.max < x.min,
        });
    }
    compared
}
