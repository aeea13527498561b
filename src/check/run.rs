//! Runs cases: compares the reference with golden results, then a device's variants with the
//! reference.

use std::borrow::Cow;

use crate::check::{Case, Checked};
use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::fff::{FffForm, FffShape, FffWeights, LeafActivation, LeafForm};
use crate::gpu::{Gpu, Variant, WeightFormat};
use crate::kernels::Activations;
use crate::layer::FffLayer;
use crate::reference::{Comparison, F16_ROUNDING, F32_RTOL, FffOutput, compare, fff};

/// The |logit| below which results of another implementation, stored in f32, are not compared with
/// ours.
const GOLDEN_MARGIN: f32 = 1e-4;

/// The number of tokens above which f16 activations are not checked in addition.
const MANY_TOKENS: usize = 10_000;

/// The result of a case.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// The name of the case.
    pub case: String,
    /// The comparison with the f64 reference on the same weights (rounded to f16 for the f16
    /// variants).
    pub reference: Comparison,
    /// The number of tokens that disagree with the stored results, if the case has them for these
    /// weights.
    pub golden_disagreements: Option<usize>,
}

impl Outcome {
    /// Returns whether everything agrees.
    pub fn passed(&self) -> bool {
        self.reference.passed() && self.golden_disagreements.unwrap_or(0) == 0
    }

    fn is_worse_than(&self, other: &Self) -> bool {
        let badness = |o: &Self| (!o.passed(), o.reference.worst_error / o.reference.allowed_error);
        badness(self) > badness(other)
    }
}

/// Runs a case and compares the result with the reference and with the stored results. On a device
/// the outcome is the worst over all schedules and kinds of activations.
///
/// # Errors
/// Returns errors of the layer if the input does not fit it, errors of the device, and
/// [`Error::Unsupported`] if the subject runs no layers of this form. A wrong result is not an
/// error: it is an [`Outcome`] that did not pass.
pub async fn check_case(case: &Case, on: &Checked) -> Result<Outcome> {
    let (weights, x) = (&case.weights, &case.x);
    let shape = weights.shape();
    if on.encoders_only() {
        return on.runs_no("FFF layers");
    }
    if let Checked::Variant(gpu, variant) = on {
        return check_variant(gpu, case, *variant).await;
    }
    let truth = fff(weights, x)?;
    let (y, path, roundings) = match on {
        #[cfg(feature = "cpu")]
        Checked::Host => {
            let got = crate::host::fff(weights, x)?;
            (got.y, got.path, if case.exact { 0 } else { crate::host::roundings(shape) })
        }
        _ => (truth.y.iter().map(|v| *v as f32).collect::<Vec<_>>(), truth.path.clone(), 0),
    };
    let reference = compare(shape, &truth, &y, &path, roundings)?;
    let golden_disagreements = golden_disagreements(case, &y, &path);
    Ok(Outcome { case: case.name.clone(), reference, golden_disagreements })
}

async fn check_variant(gpu: &Gpu, case: &Case, variant: Variant) -> Result<Outcome> {
    let mut activations = vec![Activations::F32];
    // Cases of very many tokens test the size of a dispatch, which does not depend on its formats.
    let many = case.x.len() > MANY_TOKENS * case.weights.shape().input();
    if variant.weights == WeightFormat::Packed && !many {
        activations.push(Activations::F16);
    }
    let mut worst: Option<Outcome> = None;
    for stored in activations {
        let weights = &case.weights;
        let mut layer =
            FffLayer::builder(weights).variant(variant).activations(stored).upload(gpu).await?;
        for schedule in layer.schedules() {
            layer = layer.with_schedule(schedule)?;
            let mut outcome = check_layer(case, &layer).await?;
            if !outcome.passed() {
                outcome.case = format!("{} ({schedule:?}, {stored:?})", outcome.case);
            }
            worst = match worst {
                Some(worst) if !outcome.is_worse_than(&worst) => Some(worst),
                _ => Some(outcome),
            };
        }
    }
    worst.ok_or_else(|| Error::shape("schedules of a layer", "one at least", "none"))
}

/// Checks a layer that was uploaded elsewhere and claims to be `case.weights`, as [`check_case`]
/// does.
///
/// # Errors
/// Returns the errors of [`check_case`].
pub async fn check_layer(case: &Case, layer: &FffLayer) -> Result<Outcome> {
    let rounded = match layer.variant().weights.precision() {
        Precision::F32 => None,
        Precision::F16 => Some(case.weights.rounded_to_f16()?),
    };
    let weights = rounded.as_ref().unwrap_or(&case.weights);
    let stored = layer.activations();
    let x = match stored.x {
        Precision::F32 => Cow::Borrowed(&case.x),
        Precision::F16 => {
            Cow::Owned(case.x.iter().map(|v| half::f16::from_f32(*v).to_f32()).collect())
        }
    };
    let truth: FffOutput = fff(weights, &x)?;
    let got = layer.forward_with_path(&case.x).await?;
    let roundings = if case.exact { 0 } else { layer.roundings() };
    let mut reference = compare(weights.shape(), &truth, &got.y, &got.path, roundings)?;
    if stored.y == Precision::F16 {
        // On cooperative matrices the neurons of a leaf are rounded to f16 as well.
        let roundings = if weights.shape().leaf_form().is_some() { 3.0 } else { 1.0 };
        reference.allowed_error += roundings * F16_ROUNDING;
    }
    // A separate kernel runs when no path is kept: it must give the same numbers.
    if layer.forward(&case.x).await? != got.y {
        reference.worst_error = f64::INFINITY;
    }
    let same_weights = rounded.as_ref().is_none_or(|rounded| *rounded == case.weights)
        && stored == Activations::F32;
    let golden_disagreements =
        if same_weights { golden_disagreements(case, &got.y, &got.path) } else { None };
    Ok(Outcome { case: case.name.clone(), reference, golden_disagreements })
}

/// Returns the number of tokens whose path or values differ from the stored ones. Unless the case
/// is exact, tokens that the stored f32 results cannot decide are left out.
fn golden_disagreements(case: &Case, y: &[f32], path: &[u32]) -> Option<usize> {
    let expected = case.expected.as_ref()?;
    let shape = case.weights.shape();
    let rows = y.chunks_exact(shape.output()).zip(expected.y.chunks_exact(shape.output()));
    let paths =
        path.chunks_exact(shape.path_len()).zip(expected.path.chunks_exact(shape.path_len()));
    let wrong = rows.zip(paths).zip(&expected.margin).filter(|(((got, want), paths), margin)| {
        let decidable = case.exact || margin.is_nan() || **margin >= GOLDEN_MARGIN;
        let scale = want.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
        let close = got
            .iter()
            .zip(*want)
            .all(|(g, w)| f64::from((g - w).abs()) <= F32_RTOL * f64::from(scale));
        decidable && (paths.0 != paths.1 || !close)
    });
    Some(wrong.count())
}

/// Returns seeded random layers that reach what the golden ones do not: wide and odd widths, input
/// and output of different widths, no decision, deep trees, many trees, ties, and enough tokens for
/// a second row of workgroups.
///
/// # Errors
/// Returns an error only if one of the shapes listed here is invalid.
pub fn random_cases(seed: u64) -> Result<Vec<Case>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cases = Vec::new();
    use FffForm::{Leaf, Published, Signed};
    let leaf = |width, activation| Leaf(LeafForm { width, activation, ..LeafForm::default() });
    let (gelu, relu) = (LeafActivation::Gelu, LeafActivation::Relu);
    for (input, output, trees, depth, form, tokens) in [
        (768, 768, 1, 11, Published, 64),
        (768, 768, 1, 11, Signed, 64),
        (1, 1, 1, 0, Published, 3),
        (37, 5, 3, 4, Published, 33),
        (3, 130, 2, 6, Signed, 17),
        (1030, 260, 1, 3, Published, 9),
        (1030, 260, 1, 3, Signed, 9),
        (16, 16, 64, 2, Published, 20),
        (24, 8, 2, 15, Published, 40),
        (8, 8, 1, 2, Published, 70_000),
        (384, 384, 1, 5, leaf(64, gelu), 300),
        (37, 5, 1, 4, leaf(7, relu), 33),
        (130, 60, 1, 2, leaf(130, gelu), 90),
        (3, 130, 1, 0, leaf(1, gelu), 90),
        (8, 8, 1, 9, leaf(3, relu), 3000),
    ] {
        let shape = FffShape::with_output(input, output, trees, depth)?.in_form(form)?;
        let x = (0..tokens * input).map(|_| (2.0 * random.f32() - 1.0) * 1.7).collect();
        cases.push(Case {
            name: format!("random {shape}, {tokens} tokens"),
            weights: FffWeights::random(shape, random.u64(..)),
            x,
            exact: false,
            expected: None,
        });
    }
    for form in [Published, Signed, leaf(9, relu)] {
        cases.push(tie_case(form, &mut random)?);
    }
    Ok(cases)
}

/// Returns a case of small integers: every logit is exact in any order of summation, and many are
/// 0.
fn tie_case(form: FffForm, random: &mut fastrand::Rng) -> Result<Case> {
    let trees = if matches!(form, FffForm::Leaf(_)) { 1 } else { 2 };
    let shape = FffShape::with_output(20, 12, trees, 5)?.in_form(form)?;
    let mut small =
        |count: usize| -> Vec<f32> { (0..count).map(|_| random.i32(-1..=1) as f32).collect() };
    let x = small(100 * shape.input());
    let linear_in = small(shape.input_rows() * shape.input());
    let bias = small(shape.input_rows());
    let linear_out = small(shape.output_rows() * shape.output());
    Ok(Case {
        name: format!("random {shape}, exact ties"),
        weights: FffWeights::new(shape, linear_in, Some(bias), linear_out)?,
        x,
        exact: true,
        expected: None,
    })
}
