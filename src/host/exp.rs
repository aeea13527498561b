//! Functions of single values that consist of arithmetic alone, so that a compiler can vectorise
//! loops over them.

/// Returns e^x to 2 units in the last place; 0 below -87, where f32 leaves its normal numbers, and
/// infinity above 88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to a whole number, which the lowest bits then hold; subtracting it
    // again leaves that number. A conversion to an integer saturates, and would therefore be
    // computed value by value.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts. The first has few bits, so that its product with a whole number is exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const TERMS: [f32; 5] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    let inside = x.clamp(-87.0, 88.0);
    let rounded = inside * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    let rest = inside - whole * LN2[0] - whole * LN2[1];
    let series = TERMS.into_iter().fold(1.0 / 5040.0, |sum, term| sum * rest + term);
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    let value = (series * rest * rest + rest + 1.0) * power;
    let value = if x < -87.0 { 0.0 } else { value };
    if x > 88.0 { f32::INFINITY } else { value }
}

/// Returns z * Phi(z) in f32, as shaders/parts/gelu.wgsl computes it.
#[inline(always)]
pub(crate) fn gelu(z: f32) -> f32 {
    const Q: [f32; 7] =
        [0.029448112, -0.10227835, 0.04094145, 0.15947378, 0.06979787, 0.16109747, 0.1415197];
    let a = z.abs();
    let k = 1.0 / (1.0 + 0.36 * a);
    let q = Q.into_iter().fold(0.0, |q, c| q * k + c);
    z.max(0.0) - a * exp(-0.5 * a * a) * k * q
}

/// Returns max(z, 0). NaN stays, and so does -infinity, which only an overflowed sum can be.
#[inline(always)]
pub(crate) fn relu(z: f32) -> f32 {
    if z < 0.0 && z != f32::NEG_INFINITY { 0.0 } else { z }
}

/// Returns the hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(z: f32) -> f32 {
    let t = exp(-2.0 * z.abs());
    ((1.0 - t) / (1.0 + t)).copysign(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_f64_over_their_range() {
        for i in -900_000..=900_000 {
            let x = i as f32 * 1e-4;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            if x > -87.0 && x < 88.0 {
                assert!((got - want).abs() <= 2.5e-7 * want, "{x}: {got} {want}");
            }
            let (got, want) = (f64::from(gelu(x)), crate::reference::gelu(f64::from(x)));
            assert!((got - want).abs() <= 1e-6 * want.abs().max(1.0), "{x}: {got} {want}");
            let (got, want) = (f64::from(tanh(x)), f64::from(x).tanh());
            assert!((got - want).abs() <= 3e-7, "{x}: {got} {want}");
        }
        assert_eq!((exp(-1e30), exp(0.0), exp(1e30)), (0.0, 1.0, f32::INFINITY));
        assert!(exp(f32::NAN).is_nan() && gelu(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
    }
}
