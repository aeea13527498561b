//! The f32 error bounds that decide whether results agree.

/// The relative tolerance of f32 outputs, per row: |got - want| <= F32_RTOL * max(1, max|want|).
pub const F32_RTOL: f64 = 2e-5;

/// The addition to this tolerance for a result that is stored in f16: half a unit in the last of 11
/// bits.
pub const F16_ROUNDING: f64 = 1.0 / 2048.0;

/// Returns how far an f32 logit may be from the exact one, for any order of summation.
///
/// `magnitude` is the sum of |x_i * w_i| plus |bias|. `roundings` is the most roundings that any
/// one product passes through on its way into the sum: its own, and that of each addition. Then
/// |error| <= gamma * magnitude with gamma = k*u / (1 - k*u), k = `roundings` and u = 2^-24 (Higham,
/// Accuracy and Stability of Numerical Algorithms, 2nd ed., section 4.2), plus the loss from
/// flushing subnormals.
pub fn logit_bound(roundings: u32, magnitude: f64) -> f64 {
    let ku = f64::from(roundings) * f64::from(f32::EPSILON) / 2.0;
    let flushed =
        if magnitude == 0.0 { 0.0 } else { f64::from(roundings) * f64::from(f32::MIN_POSITIVE) };
    ku / (1.0 - ku) * magnitude + flushed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_for_sums_in_f32_and_is_not_vacuous() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut worst = 0.0_f64;
        for _ in 0..2000 {
            let products: Vec<(f32, f32)> =
                (0..64).map(|_| (random.f32() - 0.5, random.f32() - 0.5)).collect();
            let sum32 = products.iter().fold(0.0f32, |s, (x, w)| s + x * w);
            let exact: f64 = products.iter().map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            let magnitude =
                products.iter().map(|(x, w)| (f64::from(*x) * f64::from(*w)).abs()).sum();
            worst = worst.max((f64::from(sum32) - exact).abs() / logit_bound(65, magnitude));
        }
        assert!(worst <= 1.0, "the bound does not hold: {worst}");
        assert!(worst > 1e-3, "the bound is vacuous: {worst}");
    }
}
