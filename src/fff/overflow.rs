//! Finds the token and the node whose sums exceed f32, or the type in which an f16 output is
//! stored.

use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::fff::{FffForm, FffShape, FffWeights};

/// The largest value of f32, and of f16.
const LARGEST: f64 = f32::MAX as f64;
const LARGEST_F16: f64 = 65_504.0;

/// A row that a token's path leads to: its place in the path, its row of `linear_in`, its bias, and
/// its rows of `linear_out`, one after another.
pub(crate) type Engaged<'a> = (usize, &'a [f32], f32, &'a [f32]);

/// The precision in which a layer stores the neurons' values on their way to y, if it stores them
/// at all, and the precision of y.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stored {
    pub(crate) neurons: Precision,
    pub(crate) y: Precision,
}

fn largest(stored: Precision) -> f64 {
    match stored {
        Precision::F32 => LARGEST,
        Precision::F16 => LARGEST_F16,
    }
}

/// Returns the first token of `y: [tokens, output]` with a value that is not finite.
pub(crate) fn first_token(y: &[f32], output: usize) -> Option<usize> {
    y.iter().position(|v| !v.is_finite()).map(|index| index / output)
}

/// Returns the error of a token whose y is not finite. It names the first node on the token's path,
/// or the leaf at its end, whose terms are so large that their sum, in the order in which some
/// kernel adds them, may exceed f32 or the type in which the leaf's neurons and y are stored. As
/// long as the sum of the magnitudes stays below, no partial sum can overflow.
///
/// `rows` are those that [`FffShape::rows_of`] finds for `path: [trees, levels]`; `output_bias` is
/// that of the leaf, if it has one.
pub(crate) fn overflow<'a>(
    shape: FffShape,
    token: usize,
    x: &[f32],
    path: &[u32],
    rows: impl Iterator<Item = Engaged<'a>>,
    output_bias: Option<&[f32]>,
    stored: Stored,
) -> Error {
    let mut reached = vec![0.0; shape.output()];
    for (reached, bias) in reached.iter_mut().zip(output_bias.unwrap_or(&[])) {
        *reached = f64::from(bias.abs());
    }
    for (place, w_in, bias, w_out) in rows {
        let at = |what, magnitude, largest| Error::Overflow {
            token,
            tree: place / shape.levels(),
            node: path.get(place).copied().unwrap_or_default(),
            what,
            magnitude,
            largest,
        };
        let product = |(x, w): (&f32, &f32)| f64::from(*x) * f64::from(*w);
        let terms = || x.iter().zip(w_in).map(product);
        let magnitude = terms().map(f64::abs).sum::<f64>() + f64::from(bias.abs());
        if magnitude > LARGEST {
            return at("logit", magnitude, LARGEST);
        }
        let z = terms().sum::<f64>() + f64::from(bias);
        // GELU(z) is below z where z > 0, and above -0.17 elsewhere.
        let (engaged, side) = match shape.form() {
            FffForm::Published | FffForm::Leaf(_) => (z.max(0.17), 0),
            FffForm::Signed => (z.abs(), usize::from(z > 0.0)),
        };
        if !w_out.is_empty() && engaged > largest(stored.neurons) {
            return at("neuron", engaged, largest(stored.neurons));
        }
        let w_out = w_out.chunks(shape.output()).nth(side).unwrap_or(&[]);
        let largest = largest(stored.y);
        for (reached, w) in reached.iter_mut().zip(w_out) {
            *reached += engaged * f64::from(w.abs());
            if *reached > largest {
                return at("output", *reached, largest);
            }
        }
    }
    Error::Value {
        what: format!("y of token {token}"),
        index: 0,
        value: f32::NAN,
        expected: "a finite number, because no sum on its path can overflow",
    }
}

impl FffWeights {
    /// Refuses the result of a forward with these weights if sums overflowed. `x` is
    /// `[tokens, input]`, `y` is `[tokens, output]` and `path` is `[tokens, trees, levels]`.
    ///
    /// # Errors
    /// [`Error::Overflow`] names the first token with a value that is not finite, and the node.
    pub fn check_overflow(&self, x: &[f32], y: &[f32], path: &[u32]) -> Result<()> {
        let shape = self.shape();
        let Some(token) = first_token(y, shape.output()) else { return Ok(()) };
        let part = |values: usize| token * values..(token + 1) * values;
        let sizes = |what, expected: usize, found: usize| {
            Err(Error::shape(format!("length of {what}"), format!("{expected} or more"), found))
        };
        let Some(x) = x.get(part(shape.input())) else {
            return sizes("x", part(shape.input()).end, x.len());
        };
        let Some(path) = path.get(part(shape.path_len())) else {
            return sizes("path", part(shape.path_len()).end, path.len());
        };
        let rows = shape.rows_of(path).into_iter().map(|(place, row, out)| {
            let w_in = &self.linear_in()[row * shape.input()..][..shape.input()];
            let w_out = &self.linear_out()[out.start * shape.output()..out.end * shape.output()];
            (place, w_in, self.bias()[row], w_out)
        });
        let leaf = path.last().and_then(|node| (*node as usize).checked_sub(shape.nodes()));
        let output_bias = leaf.and_then(|leaf| self.output_bias_of(leaf));
        Err(overflow(shape, token, x, path, rows, output_bias, Stored::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_and_node_are_named() {
        let shape = FffShape::with_output(2, 1, 1, 1).unwrap();
        // At the root every token goes right, to a node whose output is too large for the third
        // token.
        let weights =
            FffWeights::new(shape, [1.0, 0.0, 0.0, 0.0, 0.0, 2.0], None, [0.0, 0.0, 3e38]).unwrap();
        let x = [1.0, 0.1, 1.0, 0.2, 1.0, 1.0, f32::MAX, f32::MAX];
        let path = [0, 2, 0, 2, 0, 2, 0, 2];
        let check = |y: &[f32]| weights.check_overflow(&x, y, &path);
        assert!(check(&[1.0, 2.0, 3.0, 4.0]).is_ok());
        let error = check(&[1.0, 2.0, f32::INFINITY, f32::NAN]).unwrap_err();
        let expected =
            matches!(error, Error::Overflow { token: 2, tree: 0, node: 2, what: "output", .. });
        assert!(expected, "{error}");
        let error = check(&[1.0, 2.0, 3.0, f32::NAN]).unwrap_err();
        let expected =
            matches!(error, Error::Overflow { token: 3, tree: 0, node: 2, what: "logit", .. });
        assert!(expected, "{error}");
    }
}
