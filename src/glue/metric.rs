//! Metrics that compare predictions with targets, which are class numbers or values.

/// Returns the share of predictions that equal their targets.
pub fn accuracy(predictions: &[f64], targets: &[f64]) -> f64 {
    let right = predictions.iter().zip(targets).filter(|(p, t)| p == t).count();
    right as f64 / targets.len() as f64
}

/// Counts right and wrong predictions of class 1 and of the rest: true positives, true negatives,
/// false positives, false negatives.
fn confusion(predictions: &[f64], targets: &[f64]) -> [f64; 4] {
    let mut counts = [0.0; 4];
    for (prediction, target) in predictions.iter().zip(targets) {
        let index = match (*prediction == 1.0, *target == 1.0) {
            (true, true) => 0,
            (false, false) => 1,
            (true, false) => 2,
            (false, true) => 3,
        };
        counts[index] += 1.0;
    }
    counts
}

/// Returns the harmonic mean of precision and recall of class 1; 0 if both are 0.
pub fn f1(predictions: &[f64], targets: &[f64]) -> f64 {
    let [positive, _, false_positive, false_negative] = confusion(predictions, targets);
    let all = 2.0 * positive + false_positive + false_negative;
    if all == 0.0 { 0.0 } else { 2.0 * positive / all }
}

/// Returns Matthews' correlation coefficient of two classes; 0 if a row or column of the confusion
/// matrix is empty.
pub fn matthews(predictions: &[f64], targets: &[f64]) -> f64 {
    let [tp, tn, fp, fn_] = confusion(predictions, targets);
    let product = (tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_);
    if product == 0.0 { 0.0 } else { (tp * tn - fp * fn_) / product.sqrt() }
}

/// Returns Pearson's correlation; NaN if one side is constant.
pub fn pearson(predictions: &[f64], targets: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (p, t) = (mean(predictions), mean(targets));
    let (mut both, mut one, mut other) = (0.0, 0.0, 0.0);
    for (x, y) in predictions.iter().zip(targets) {
        both += (x - p) * (y - t);
        one += (x - p) * (x - p);
        other += (y - t) * (y - t);
    }
    both / (one * other).sqrt()
}

/// Returns Spearman's correlation, which is Pearson's correlation of the ranks. Ties share their
/// mean rank.
pub fn spearman(predictions: &[f64], targets: &[f64]) -> f64 {
    pearson(&ranks(predictions), &ranks(targets))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let value = values[order[first]];
        let tied = order[first..].iter().take_while(|index| values[**index] == value).count();
        // A NaN equals nothing, itself included.
        let tied = tied.max(1);
        for index in &order[first..first + tied] {
            ranks[*index] = first as f64 + (tied - 1) as f64 / 2.0;
        }
        first += tied;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values were computed elsewhere, from the definitions.
    #[test]
    fn known_values() {
        let (predictions, targets) = ([1.0, 2.0, 2.0, 4.0, 0.5], [1.0, 3.0, 2.0, 5.0, 1.0]);
        assert!((pearson(&predictions, &targets) - 0.968_822_001_9).abs() < 1e-9);
        assert!((spearman(&predictions, &targets) - 0.947_368_421_1).abs() < 1e-9);
        let (predictions, targets) =
            ([1.0, 1.0, 0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        assert!((accuracy(&predictions, &targets) - 4.0 / 6.0).abs() < 1e-12);
        assert!((f1(&predictions, &targets) - 2.0 / 3.0).abs() < 1e-12);
        assert!((matthews(&predictions, &targets) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn constant_predictions_do_not_divide_by_zero() {
        let (constant, targets) = ([1.0; 4], [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(matthews(&constant, &targets), 0.0);
        assert_eq!(f1(&[0.0; 4], &[0.0; 4]), 0.0);
        assert!(pearson(&constant, &targets).is_nan());
        assert!(spearman(&[f64::NAN, 1.0, 2.0], &[1.0, 2.0, 3.0]).is_finite());
    }
}
