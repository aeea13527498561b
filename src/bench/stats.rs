//! Statistics of repeated measurements.

use serde::{Deserialize, Serialize};

/// Repeated measurements of one thing: the samples and their statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// The middle sample, or the mean of the middle two.
    pub median: f64,
    /// The smallest sample.
    pub min: f64,
    /// The largest sample.
    pub max: f64,
    /// The standard deviation of a sample (n - 1).
    pub sd: f64,
    /// The number of samples.
    pub n: usize,
    /// All samples, in the order in which they were taken.
    pub samples: Vec<f64>,
}

impl Stats {
    /// Sums up at least one sample. Without samples every statistic is NaN.
    pub fn new(samples: Vec<f64>) -> Self {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let mean = sorted.iter().sum::<f64>() / n as f64;
        let squares = sorted.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        Self {
            median: (at(n.saturating_sub(1) / 2) + at(n / 2)) / 2.0,
            min: at(0),
            max: at(n.saturating_sub(1)),
            sd: if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 },
            n,
            samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up_odd_even_and_single_counts() {
        let odd = Stats::new(vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.min, odd.max, odd.sd, odd.n), (2.0, 1.0, 3.0, 1.0, 3));
        assert_eq!(odd.samples, [3.0, 1.0, 2.0]);
        assert_eq!(Stats::new(vec![4.0, 1.0]).median, 2.5);
        let one = Stats::new(vec![7.0]);
        assert_eq!((one.median, one.sd), (7.0, 0.0));
    }
}
