//! Compares a device's result with the reference: the path first, then the values on equal paths.

use crate::error::{Error, Result};
use crate::fff::FffShape;
use crate::reference::{F32_RTOL, FffOutput, logit_bound};

/// The comparison of a result with the reference.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The number of tokens compared.
    pub tokens: usize,
    /// The number of decisions in the reference's walk.
    pub decisions: usize,
    /// The number of decisions that differ where the reference's |logit| is inside the f32 error
    /// bound, so that rounding may decide either way.
    pub legitimate_flips: usize,
    /// The number of decisions or recorded nodes that differ and may not.
    pub wrong_nodes: usize,
    /// The largest |got - want| / max(1, max|want|) over the rows of tokens whose path is the
    /// reference's; infinite for a NaN.
    pub worst_error: f64,
    /// The largest `worst_error` that passes.
    pub allowed_error: f64,
}

impl Comparison {
    /// Returns whether the result agrees with the reference.
    pub fn passed(&self) -> bool {
        self.wrong_nodes == 0 && self.worst_error <= self.allowed_error
    }
}

/// Compares `y: [tokens, output]` and `path: [tokens, trees, levels]` with the reference.
///
/// `roundings` is the argument of [`logit_bound`]. 0 says that every logit is exact in f32 in any
/// order of summation (because its terms are small integers, for example), so that no flipped
/// decision is legitimate.
///
/// # Errors
/// Returns [`Error::Shape`] if the length of `y` or `path` differs from the reference's.
pub fn compare(
    shape: FffShape,
    truth: &FffOutput,
    y: &[f32],
    path: &[u32],
    roundings: u32,
) -> Result<Comparison> {
    for (what, want, got) in [("y", truth.y.len(), y.len()), ("path", truth.path.len(), path.len())]
    {
        if want != got {
            return Err(Error::shape(format!("length of {what}"), want, got));
        }
    }
    let tokens = y.len() / shape.output();
    let mut result = Comparison {
        tokens,
        decisions: tokens * shape.trees() * shape.depth(),
        legitimate_flips: 0,
        wrong_nodes: 0,
        worst_error: 0.0,
        allowed_error: F32_RTOL,
    };
    for token in 0..tokens {
        let mut same_path = true;
        for tree in 0..shape.trees() {
            let first = (token * shape.trees() + tree) * shape.levels();
            let walk = first..first + shape.levels();
            let Some(level) = walk.clone().position(|i| truth.path[i] != path[i]) else {
                continue;
            };
            same_path = false;
            // After a flip the walk goes elsewhere in the tree, but it must still be a walk.
            let is_walk = path[walk.start..walk.end].windows(2).all(|pair| {
                pair[0].checked_mul(2).is_some_and(|n| pair[1] == n + 1 || pair[1] == n + 2)
            });
            let decided = level.checked_sub(1).map(|above| first + above);
            let legitimate = is_walk
                && decided.is_some_and(|i| {
                    truth.logits[i].abs() <= logit_bound(roundings, truth.magnitudes[i])
                        && roundings > 0
                });
            if legitimate {
                result.legitimate_flips += 1;
            } else {
                result.wrong_nodes += 1;
            }
        }
        if same_path {
            let rows = token * shape.output()..(token + 1) * shape.output();
            let error = row_error(&truth.y[rows.clone()], &y[rows]);
            result.worst_error = result.worst_error.max(error);
        }
    }
    Ok(result)
}

/// Returns max|got - want| / max(1, max|want|); infinity if any value of `got` is not finite.
pub fn row_error(want: &[f64], got: &[f32]) -> f64 {
    let scale = want.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
    want.iter().zip(got).fold(0.0_f64, |worst, (want, got)| {
        let error = (f64::from(*got) - want).abs();
        if error.is_nan() { f64::INFINITY } else { worst.max(error / scale) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fff::FffWeights;
    use crate::reference::fff;

    fn case() -> (FffShape, FffOutput, Vec<f32>) {
        let shape = FffShape::with_output(5, 3, 2, 3).unwrap();
        let x: Vec<f32> = (0..35).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
        let truth = fff(&FffWeights::random(shape, 3), &x).unwrap();
        let y = truth.y.iter().map(|v| *v as f32).collect();
        (shape, truth, y)
    }

    #[test]
    fn the_truth_agrees_with_itself() {
        let (shape, truth, y) = case();
        let result = compare(shape, &truth, &y, &truth.path, 10).unwrap();
        assert!(result.passed() && result.worst_error < 1e-7 && result.legitimate_flips == 0);
        assert_eq!(result.decisions, 7 * 2 * 3);
    }

    #[test]
    fn a_wrong_or_nan_value_fails() {
        let (shape, truth, mut y) = case();
        y[4] += 1e-3;
        assert!(!compare(shape, &truth, &y, &truth.path, 10).unwrap().passed());
        y[4] = f32::NAN;
        assert!(!compare(shape, &truth, &y, &truth.path, 10).unwrap().passed());
    }

    #[test]
    fn a_flip_is_legitimate_only_inside_the_bound_and_never_where_sums_are_exact() {
        let (shape, mut truth, y) = case();
        let mut path = truth.path.clone();
        path[3] = if path[3] % 2 == 1 { path[3] + 1 } else { path[3] - 1 }; // the sibling of the bottom node
        assert_eq!(compare(shape, &truth, &y, &path, 10).unwrap().wrong_nodes, 1);
        truth.logits[2] = 1e-9;
        let result = compare(shape, &truth, &y, &path, 10).unwrap();
        assert!(result.passed() && result.legitimate_flips == 1);
        assert!(!compare(shape, &truth, &y, &path, 0).unwrap().passed());
        path[3] = 0; // not a child of the node above
        assert!(!compare(shape, &truth, &y, &path, 10).unwrap().passed());
    }

    #[test]
    fn a_wrong_root_is_never_a_flip() {
        let (shape, truth, y) = case();
        let mut path = truth.path.clone();
        path[0] = 1;
        assert!(!compare(shape, &truth, &y, &path, 10).unwrap().passed());
    }
}
